// The token strip: prompts A and B, aligned by position, as Python's `strip_payload` describes them.
// Column i holds A's token i over B's token i. The functions that build nodes are in cells.js.

const CAP = 300; // columns in the page at once; A and B together make twice as many cells
const WHOLE = 240; // up to here a pair is shown whole
const PAGE = 100; // columns that one click on "… more …" adds
const AROUND = 40; // columns shown on both sides of a cut
const ENDS = 10; // columns always shown at first at both ends

const swept = new Set(); // runs whose answer was already swept in
const strips = new WeakMap();

/** Show `data` in `root`, an element with the markup of strip.html; again to update it in place.
 *  `callbacks.guess(position)` and `callbacks.selected(position)` are told of clicks.
 *  Returns a function that lets go of everything. */
export function mount(root, data, callbacks = {}) {
  const strip = strips.get(root) ?? new Strip(root);
  strips.set(root, strip);
  strip.show(data, callbacks);
  return () => strip.close();
}

/** The entry for Streamlit. */
export default function ({ data, parentElement, setStateValue }) {
  const tell = (name) => (at) => setStateValue(name, { pair: data.pair, at });
  const selected = data.reports_clicks ? tell("selected") : undefined;
  return mount(parentElement.querySelector(".fd-strip"), data, { guess: tell("guess"), selected });
}

class Strip {
  constructor(root) {
    this.root = root;
    this.flow = this.part("flow");
    this.marker = asDrawing(element("i", "fd-guess", element("span", "")));
    this.listen();
    this.resized = new ResizeObserver(() => this.labelLines());
    this.resized.observe(this.flow);
  }

  part(name) {
    return this.root.querySelector(`.fd-${name}`);
  }

  close() {
    this.resized.disconnect();
    strips.delete(this.root);
  }

  show(data, callbacks) {
    const before = this.data ?? {};
    this.data = data;
    this.callbacks = callbacks;
    this.predicts = data.mode === "predict";
    const isNew = before.pair !== data.pair;
    this.guess = data.guess ?? (isNew ? null : this.guess);
    this.root.dataset.mode = data.mode;
    this.root.toggleAttribute("data-guessed", this.guess !== null);
    this.tellAround();
    if (isNew || before.mode !== data.mode) this.begin();
    else if (!this.predicts && before.guess !== data.guess) this.draw();
    this.paint();
  }

  /** A new pair, or the answer to the old one. */
  begin() {
    const { a, b, cut, stop, states, run } = this.data;
    this.columns = Math.max(a.length, b.length + (this.predicts ? 1 : 0), 1);
    this.shown = new Uint8Array(this.columns);
    this.pinned = this.over = this.tabStop = null;
    this.movedTo = new Map();
    states.forEach(({ moved }, i) => moved && this.movedTo.set(i - moved, i));
    if (this.columns <= WHOLE) this.shown.fill(1);
    else {
      // as much of both ends: what is new stands at one of them in most prompts, and this tells neither
      const ends = this.predicts ? PAGE : ENDS;
      this.shown.fill(1, 0, ends);
      this.shown.fill(1, this.columns - ends);
      for (const at of [stop, cut]) if (at !== null) this.open(at - AROUND, at + AROUND);
    }
    this.root.dataset.size = this.columns <= 16 ? "roomy" : this.columns <= 80 ? "normal" : "dense";
    const sweeps = !this.predicts && run !== null && !swept.has(run);
    if (sweeps) swept.add(run);
    this.draw();
    if (sweeps) this.sweep();
    this.drawMap();
  }

  /** Show the columns [from, to), and hide those farthest from them if that makes too many. */
  open(from, to) {
    this.shown.fill(1, Math.max(0, from), Math.max(0, to));
    let surplus = this.shown.reduce((sum, one) => sum + one, 0) - CAP;
    const middle = (from + to) / 2;
    for (let left = 0, right = this.columns - 1; surplus > 0 && left < right;) {
      const farthest = middle - left > right - middle ? left++ : right--;
      surplus -= this.shown[farthest];
      this.shown[farthest] = 0;
    }
  }

  draw() {
    const isFocused = this.flow.contains(document.activeElement);
    const parts = [];
    for (let i = 0, end; i < this.columns; i = end) {
      const isShown = this.shown[i];
      end = i + 1;
      while (this.shown[end] === isShown && (!isShown || this.belongs(i, end))) end++;
      parts.push(isShown ? clusterOf(this.data, i, end) : gapOf(this.data, i, end));
    }
    this.flow.classList.remove("fd-sweep");
    this.flow.replaceChildren(...parts);
    const stop = this.setTabStop(this.tabStop);
    if (isFocused) stop?.focus({ preventScroll: true });
    this.labelLines();
  }

  belongs(start, at) {
    return at - start < UNBROKEN && isInsideCharacter(this.data, at);
  }

  /** Light the reused tokens up from left to right, then draw the cut, then show the rest. */
  sweep() {
    const { stop } = this.data;
    const lit = this.shown.slice(0, stop).reduce((sum, one) => sum + one, 0);
    let rank = 0;
    for (const ruler of this.flow.querySelectorAll(".fd-ruler")) {
      const i = Number(ruler.dataset.i);
      const time = i < stop ? rank++ / lit : 1.25;
      for (const node of this.at(i)) node.style.setProperty("--fd-time", time);
    }
    this.flow.classList.add("fd-sweep");
  }

  /** The map of the whole pair: only there while part of the pair is hidden. */
  drawMap() {
    const { cut, stop, scissors } = this.data;
    const isLong = this.columns > WHOLE;
    this.part("map").hidden = !isLong;
    this.part("map").replaceChildren(...(isLong ? mapOf(this.data, this.columns) : []));
    this.part("jump").hidden = !isLong || stop === null;
    this.part("jump").textContent =
      cut === null ? "Jump to where reuse stops" : `${scissors} Jump to the cut`;
  }

  /** Words around the picture. */
  tellAround() {
    const { a, b, summary, guessed } = this.data;
    const count = (tokens) =>
      `· ${tokens.toLocaleString("en")} ${tokens === 1 ? "token" : "tokens"}`;
    if (this.part("summary").textContent !== summary) this.part("summary").textContent = summary;
    this.part("count-a").textContent = count(a.length);
    this.part("count-b").textContent = count(b.length);
    const what = this.predicts ? "Choose where reuse stops" : "Tokens of B";
    this.flow.setAttribute("aria-label", `${what}; arrow keys move`);
    this.part("guessed").hidden = !guessed;
    this.part("guessed").textContent = guessed ?? "";
    this.part("legend").replaceChildren(...legendOf(this.data));
  }

  /** Everything that follows the pointer, the focus, the pinned token and the guess. */
  paint() {
    const { a, b, states, cut, stop } = this.data;
    const pointed = this.over ?? this.pinned;
    const moved = states[pointed]?.moved;
    this.mark("fd-linked", this.at(pointed, ".fd-cell"));
    if (this.overA)
      this.mark("fd-partner", this.at(this.movedTo.get(pointed) ?? null, ".fd-row-b"));
    else this.mark("fd-partner", this.at(moved ? pointed - moved : null, ".fd-row-a"));
    this.mark("fd-pinned", this.at(this.pinned, ".fd-cell"));
    const chosen = this.predicts ? this.guess : this.pinned;
    for (const one of this.flow.querySelectorAll("[aria-pressed]"))
      one.setAttribute("aria-pressed", String(Number(one.dataset.i) === chosen));
    this.markGuess();
    this.root.toggleAttribute("data-pointing", pointed !== null);
    this.tellDetail(pointed ?? (this.predicts ? null : Math.min(cut ?? stop, this.columns - 1)));
  }

  at(i, kind = "") {
    return i === null ? [] : [...this.flow.querySelectorAll(`${kind}[data-i="${i}"]`)];
  }

  mark(name, cells) {
    for (const cell of this.flow.querySelectorAll(`.${name}`)) cell.classList.remove(name);
    for (const cell of cells) cell.classList.add(name);
  }

  markGuess() {
    const [ruler] = this.at(this.guess, ".fd-ruler");
    this.marker.remove();
    this.marker.className = ruler?.classList.contains("fd-apart")
      ? "fd-guess fd-apart"
      : "fd-guess";
    if (!ruler) return;
    const [tag] = this.marker.children;
    tag.textContent = this.predicts ? "reuse stops here" : "your guess";
    this.marker.style.gridColumn = ruler.style.gridColumn;
    ruler.parentElement.append(this.marker);
    const room = this.flow.getBoundingClientRect().right - ruler.getBoundingClientRect().left;
    this.marker.classList.toggle("fd-flipped", room < tag.offsetWidth + 8);
  }

  tellDetail(i) {
    this.part("told").replaceChildren(...toldOf(this.data, i));
    for (const row of ["a", "b"]) {
      const line = this.root.querySelector(`.fd-line[data-row="${row}"]`);
      const token = this.data[row][i];
      line.hidden = i === null;
      line
        .querySelector(".fd-text")
        .replaceChildren(...(token ? fullText(this.data, row, i) : ["–"]));
      line.querySelector(".fd-id").textContent = token ? `id ${token.id}` : "";
      line.querySelector(".fd-bytes").textContent = token ? spaced(token.hex) : "";
    }
  }

  /** A and B at the left of every line, however the columns wrap. */
  labelLines() {
    const line = this.flow.firstElementChild;
    const gap = Number.parseFloat(getComputedStyle(this.flow).rowGap);
    const { height } = line.getBoundingClientRect();
    const lines = Math.round((this.flow.clientHeight + gap) / (height + gap)) || 1;
    const gutter = this.part("gutter");
    while (gutter.childElementCount > lines) gutter.lastElementChild.remove();
    while (gutter.childElementCount < lines) {
      const [a, b] = [element("b", "fd-row-a", "A"), element("b", "fd-row-b", "B")];
      gutter.append(element("span", "fd-rows", a, b));
    }
  }

  listen() {
    const { flow } = this;
    const columnOf = ({ target }) => {
      const i = target.closest?.("[data-i]")?.dataset.i;
      return i === undefined ? null : Number(i);
    };
    const point = (at, target) => {
      const overA = target?.closest(".fd-row-a") != null;
      if (at === this.over && overA === this.overA) return;
      this.over = at;
      this.overA = overA;
      this.paint();
    };
    flow.addEventListener("pointerover", (event) => point(columnOf(event), event.target));
    flow.addEventListener("pointerleave", () => point(null));
    flow.addEventListener("focusin", (event) => {
      this.setTabStop(nameOf(event.target));
      point(columnOf(event), event.target);
    });
    flow.addEventListener("focusout", () => point(null));
    flow.addEventListener("click", (event) => this.clicked(event, columnOf(event)));
    flow.addEventListener("keydown", (event) => this.pressed(event));
    flow.addEventListener("pointerdown", ({ target }) => {
      const cell = target.closest(".fd-cell");
      if (cell) flow.dataset.select = cell.classList.contains("fd-row-a") ? "a" : "b";
    });
    this.root.addEventListener("copy", (event) => this.copied(event));
    this.part("jump").addEventListener("click", () => this.jump(this.data.cut ?? this.data.stop));
    this.part("map").addEventListener("click", ({ currentTarget, clientX }) => {
      const { left, width } = currentTarget.getBoundingClientRect();
      this.jump(Math.floor(((clientX - left) / width) * this.columns));
    });
  }

  clicked({ target }, at) {
    const gap = target.closest(".fd-gap");
    if (gap) this.reveal(Number(gap.dataset.from));
    else if (at === null || !getSelection().isCollapsed) return;
    else if (this.predicts && this.data.b.length) {
      this.guess = Math.min(at, this.data.b.length);
      this.root.toggleAttribute("data-guessed", true);
      this.callbacks.guess?.(this.guess);
    } else if (!this.predicts) {
      this.pinned = this.pinned === at ? null : at;
      if (this.pinned !== null && at < this.data.b.length) this.callbacks.selected?.(at);
    }
    this.paint();
  }

  reveal(from) {
    this.open(from, Math.min(from + PAGE, this.columns));
    this.tabStop = String(from);
    this.draw();
  }

  jump(at) {
    this.open(at - AROUND, Math.min(at + AROUND, this.columns));
    this.draw();
    this.pinned = this.predicts ? null : at;
    this.paint();
    this.at(at)[0]?.scrollIntoView({ block: "center" });
  }

  stops() {
    return [...this.flow.querySelectorAll("[data-stop]")];
  }

  /** One tab stop leads into the strip; arrow keys move it. */
  setTabStop(name) {
    const stops = this.stops();
    const wanted = stops.find((stop) => nameOf(stop) === name) ?? stops[0];
    for (const stop of stops) stop.tabIndex = stop === wanted ? 0 : -1;
    this.tabStop = wanted ? nameOf(wanted) : null;
    return wanted;
  }

  pressed(event) {
    const { key, target } = event;
    const stops = this.stops();
    const at = stops.indexOf(target);
    const moves = {
      ArrowRight: () => stops[at + 1],
      ArrowLeft: () => stops[at - 1],
      ArrowDown: () => nearest(target, stops.slice(at), 1),
      ArrowUp: () => nearest(target, stops.slice(0, at).reverse(), -1),
      Home: () => stops[0],
      End: () => stops.at(-1),
    };
    const presses = target.tagName === "SPAN" && (key === "Enter" || key === " ");
    if (at < 0 || !(moves[key] || presses)) return;
    event.preventDefault();
    if (presses) target.click();
    else moves[key]()?.focus();
  }

  /** Copy the true text of the selected tokens, not the glyphs that stand for it. */
  copied(event) {
    const selection = getSelection();
    if (selection.isCollapsed) return;
    const rows = this.flow.dataset.select ? [this.flow.dataset.select] : ["a", "b"];
    const texts = rows
      .map((row) => this.textIn(selection.getRangeAt(0), row))
      .filter((text) => text !== null);
    if (!texts.length) return;
    event.clipboardData.setData("text/plain", texts.join("\n"));
    event.preventDefault();
  }

  /** The text of a row's tokens in the range, whole tokens and whole characters; null if none. */
  textIn(range, row) {
    const cells = [...this.flow.querySelectorAll(`.fd-cell.fd-row-${row}`)].filter((cell) =>
      holds(range, cell),
    );
    if (!cells.length) return null;
    const [first, last] = [cells[0], cells.at(-1)].map(({ dataset }) => Number(dataset.i));
    const start = groupAt(this.data, row, first)?.start ?? first;
    const stop = groupAt(this.data, row, last)?.stop ?? last + 1;
    return slice(this.data.text[row], this.data[row][start].byte, this.data[row][stop]?.byte);
  }
}

function nameOf({ dataset }) {
  return dataset.i ?? dataset.from;
}

/** Whether some of the cell's own text is in the range, or all of a cell that is drawn by CSS. */
function holds(range, cell) {
  if (!range.intersectsNode(cell)) return false;
  const inside = document.createRange();
  inside.selectNodeContents(cell);
  if (inside.toString() === "") return true;
  if (range.compareBoundaryPoints(Range.START_TO_START, inside) > 0)
    inside.setStart(range.startContainer, range.startOffset);
  if (range.compareBoundaryPoints(Range.END_TO_END, inside) < 0)
    inside.setEnd(range.endContainer, range.endOffset);
  return inside.toString() !== "";
}

/** Of `stops`, going away from `from`, the one that stands closest on the next line down or up. */
function nearest(from, stops, direction) {
  const here = from.getBoundingClientRect();
  const boxes = stops.map((stop) => ({ stop, box: stop.getBoundingClientRect() }));
  const beyond = boxes.filter(({ box }) => direction * (box.top - here.top) > here.height);
  const inLine = beyond.filter(({ box }) => Math.abs(box.top - beyond[0].box.top) < here.height);
  const distance = ({ box }) => Math.abs(box.left + box.right - here.left - here.right);
  return inLine.sort((one, other) => distance(one) - distance(other))[0]?.stop;
}

/** The text's UTF-8 bytes [from, to), as text. */
function slice(text, from, to) {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // a byte order mark is text here
  return decoder.decode(new TextEncoder().encode(text).slice(from, to));
}
