# make run     install what is needed, get the model, open the app on http://localhost:8501
# make test    everything that can be checked by machine
# make bench   measurements on this machine
# make record  make the recorded runs in assets/ anew
# make clean   remove what the others made here (the model stays in the user's cache folder)

PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
AXE := build/npm/node_modules/axe-core/axe.min.js
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
MAKERS := $(addprefix benchmarks/,__init__.py record.py find_splices.py)
BENCHMARKS := $(filter-out $(MAKERS),$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := run
.PHONY: run test bench record clean browser

# without the weights the app still opens, and says what to do
run: $(VENV)/installed
	-@$(BIN)/python -m prefix_engine.model.weights
	$(BIN)/streamlit run app.py --server.port $(PORT)

test: $(VENV)/installed-dev browser $(AXE)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m prefix_engine.model.weights
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# every one of them, and then the failure if any failed
bench: $(VENV)/installed-bench
	@failed=; for file in $(BENCHMARKS); do \
		module=$$(echo $${file%.py} | tr / .); \
		echo "== $$module"; \
		$(BIN)/python -m $$module || failed="$$failed $$module"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

record: $(VENV)/installed
	$(BIN)/python -m benchmarks.record

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/installed: requirements.txt | $(BIN)/python
	$(BIN)/python tools/install.py requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python tools/install.py requirements-dev.txt
	@touch $@

# without llama.cpp the benchmarks run, and say that it is missing
$(VENV)/installed-bench: requirements-bench.txt $(VENV)/installed
	@echo "Compiling llama.cpp takes 10 to 15 minutes, once."
	-$(BIN)/python tools/install.py requirements-bench.txt && touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

browser:
	@command -v chromium >/dev/null \
		|| { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends chromium; } \
		|| echo "Chromium is not here and can't be installed: the browser tests will be skipped."

$(AXE):
	@npm install --prefix build/npm --no-save --no-audit --no-fund axe-core@4.14.1 \
		|| echo "axe-core can't be installed with npm: the accessibility tests will be skipped."
