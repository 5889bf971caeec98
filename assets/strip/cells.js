// From the strip's data to nodes of the page: nothing here remembers anything.
// strip.js follows in the same module. All text of a person's goes through textContent.

const INVISIBLE = /([·⏎⇥␍]|⟨[^⟩]*⟩)/u;
const ASK = "Where will reuse stop? Choose the token of B before which it stops.";
const UNBROKEN = 6; // columns kept on one line for the sake of a character split over tokens

function element(tag, name, ...contents) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (tag === "button") node.type = "button";
  node.append(...contents.map((one) => (typeof one === "number" ? one.toLocaleString("en") : one)));
  return node;
}

/** One of the things that arrow keys move between; a screen reader says `name`, or else its text. */
function asStop(node, name) {
  node.dataset.stop = "";
  node.tabIndex = -1;
  if (node.tagName !== "BUTTON") node.setAttribute("role", "button");
  if (name) node.setAttribute("aria-label", name);
  return node;
}

/** Whether columns at - 1 and at hold parts of one character. */
function isInsideCharacter(data, at) {
  return ["a", "b"].some((row) => groupAt(data, row, at)?.start < at);
}

/** For the eye only: what it says is in the name of the stop beside it. */
function asDrawing(node) {
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** The tokens [start, stop) around `at` that only together hold a character, if it is split. */
function groupAt(data, row, at) {
  return data.split[row].find(({ start, stop }) => start <= at && at < stop);
}

/** The columns [from, to), not to be broken over two lines. */
function clusterOf(data, from, to) {
  const cluster = element("span", "fd-cluster");
  const put = (nodes, column) => {
    for (const node of nodes) node.style.gridColumn = column;
    cluster.append(...nodes);
  };
  for (let i = from; i < to; i++) {
    const nodes = columnOf(data, i);
    for (const node of nodes) node.dataset.i = i;
    put(nodes, `${i - from + 1}`);
  }
  for (const row of to - from > 1 ? ["a", "b"] : []) {
    for (let i = from; i < to; i++) {
      const group = groupAt(data, row, i);
      if (!group || i !== Math.max(group.start, from)) continue;
      const glyph = i === group.start ? shownText(group.text) : "⋯";
      const end = Math.min(group.stop, to) - from + 1;
      put(
        [asDrawing(element("span", `fd-character fd-row-${row}`, glyph))],
        `${i - from + 1} / ${end}`,
      );
    }
  }
  return cluster;
}

/** Column i: the ruler, A's cell, B's cell, B's state, and the lines in front of them. */
function columnOf(data, i) {
  const { a, b, stop, cut, guess, block_size: block } = data;
  const isNumbered = i < Math.max(a.length, b.length) && (i === 0 || (i + 1) % 5 === 0);
  const nodes = [asDrawing(element("span", "fd-ruler", isNumbered ? i + 1 : ""))];
  for (const row of ["a", "b"]) {
    if (i < data[row].length) nodes.push(cellOf(data, row, i));
    else if (row === "b" && i === b.length && i > 0 && data.mode === "predict")
      nodes.push(lastStop());
    else if (i === 0) nodes.push(element("span", `fd-none fd-row-${row}`, "empty"));
  }
  if (data.mode === "predict") return nodes;
  if (i < b.length) nodes.push(stateOf(data, i));
  if (i === cut || (i === stop && i < b.length)) {
    const line =
      i === cut
        ? element("i", "fd-cut", element("span", "", data.scissors))
        : element("i", "fd-stop");
    nodes.push(asDrawing(line));
    for (const node of nodes) node.classList.add("fd-apart");
  } else if (block > 1 && i > 0 && i % block === 0) nodes.push(element("i", "fd-block"));
  if (guess !== null && i >= Math.min(guess, stop) && i < Math.max(guess, stop))
    nodes.push(element("i", "fd-between"));
  return nodes;
}

function cellOf(data, row, i) {
  const { a, b, states, styles, stop, cut } = data;
  const predicts = data.mode === "predict";
  const token = data[row][i];
  const cell = element(
    predicts && row === "b" ? "button" : "span",
    `fd-cell fd-row-${row}`,
    contentsOf(token),
  );
  const group = token.text === undefined ? groupAt(data, row, i) : undefined;
  cell.classList.toggle("fd-continued", group !== undefined && i + 1 < group.stop);
  cell.classList.toggle("fd-template", token.template !== undefined);
  const isTurn = token.template !== undefined && data[row][i - 1]?.template === token.template;
  cell.classList.toggle("fd-joined", (isTurn || group?.start < i) && i !== cut && i !== stop);
  const ofA = i < stop ? "reused" : i === cut ? "other" : null;
  const state = row === "b" ? states[i]?.state : ofA;
  if (state) cell.classList.add(classOf(state));
  if (row === "a" && (predicts || i < b.length)) {
    return asDrawing(cell);
  }
  const partner = row === "b" && i < a.length ? `; A has ${plain(a[i])}` : "";
  const name = `token ${i + 1}${row === "a" ? " of A" : ""}: ${plain(token)}${partner}`;
  const word = row === "b" && states[i] ? `; ${styles[state].word}` : "";
  asStop(cell, `${predicts ? "Reuse stops before " : ""}${name}${word}`);
  cell.setAttribute("aria-pressed", "false");
  if (row === "b" && states[i]?.why) cell.title = meaningOf(data, i);
  return cell;
}

function lastStop() {
  const stop = element("button", "fd-cell fd-row-b fd-last", "all reused");
  stop.setAttribute("aria-pressed", "false");
  return asStop(stop, "all reused: reuse does not stop");
}

function stateOf(data, i) {
  const { state, moved } = data.states[i];
  const row = element("span", "fd-state", data.styles[state].glyph);
  if (moved) row.append(element("small", "", signed(moved)));
  return asDrawing(row);
}

/** The button that stands for the hidden columns [from, to). */
function gapOf(data, from, to) {
  const { states, styles, b } = data;
  const hidden = states.slice(from, to).map(({ state }) => state);
  const same = to <= b.length && new Set(hidden).size === 1;
  const kind = same ? styles[hidden[0]].word : "more";
  const text = same && kind.includes(",") ? `tokens: ${kind}` : `${kind} tokens`;
  const gap = element("button", "fd-gap", "… ", to - from, ` ${text} …`);
  if (same) gap.classList.add(classOf(hidden[0]));
  gap.dataset.from = from;
  return asStop(gap);
}

/** The whole pair as one thin bar, `columns` wide. */
function mapOf(data, columns) {
  const { states, b, stop, cut } = data;
  const bars = [];
  const step = Math.ceil(columns / 240);
  for (let i = 0; i < columns; i += step) {
    const held = states.slice(i, i + step).map(({ state }) => state);
    const state = held.includes("first_difference") ? "first_difference" : held[0];
    const name = `fd-bar ${state ? classOf(state) : i < b.length ? "" : "fd-beyond"}`;
    const width = Math.min(step, columns - i);
    const last = bars.at(-1);
    if (last?.className === name) last.style.flexGrow = Number(last.style.flexGrow) + width;
    else {
      bars.push(element("i", name));
      bars.at(-1).style.flexGrow = width;
    }
  }
  const target = cut ?? stop;
  if (target !== null) {
    bars.push(element("i", "fd-here"));
    bars.at(-1).style.left = `${(100 * target) / columns}%`;
  }
  return bars;
}

function legendOf({ legend, block_size: block }) {
  const entries = legend.map(({ state, glyph, word, count }) => {
    const key = element("span", `fd-key ${classOf(state)}`, glyph);
    return element("li", "", key, ` ${word} `, element("b", "", count));
  });
  if (legend.length && block > 1) entries.push(element("li", "", `┊ block of ${block} tokens`));
  return entries;
}

/** What the detail line says of position i, or how to begin. */
function toldOf(data, i) {
  const { a, b, states, styles, mode } = data;
  const predicts = mode === "predict";
  if (i === null || i >= Math.max(a.length, b.length)) return [predicts && b.length ? ASK : ""];
  const told = [element("b", "", "Token ", i + 1), ` · position ${i}`];
  if (states[i])
    told.push(" · ", element("b", "", styles[states[i].state].glyph), ` ${meaningOf(data, i)}`);
  else if (i >= b.length) told.push(" · only A has a token here");
  return told;
}

/** The state of B's token i in words. */
function meaningOf({ styles, reasons, states }, i) {
  const { state, why, moved } = states[i];
  const { word, meaning } = styles[state];
  const where = moved ? ` (token ${i - moved + 1} of A, moved by ${signed(moved)})` : "";
  return `${word}${where}: ${reasons[why] ?? meaning}`;
}

/** A token's text in full, also where it is only a part of a character. */
function fullText(data, row, i) {
  const { text } = data[row][i];
  if (text !== undefined) return [shownText(text)];
  const group = groupAt(data, row, i);
  return group ? ["part of ", shownText(group.text)] : ["not a character"];
}

/** Text with the glyphs of invisible characters set apart: drawn by CSS, so never selected. */
function shownText(text) {
  const pieces = text.split(INVISIBLE).filter((piece) => piece !== "");
  return element(
    "bdi",
    "",
    ...pieces.map((piece) => (INVISIBLE.test(piece) ? glyphOf(piece) : piece)),
  );
}

function glyphOf(piece) {
  const isBadge = piece.startsWith("⟨") || piece === "␍"; // few fonts have a readable ␍
  const glyph = element("i", isBadge ? "fd-badge" : "fd-space");
  glyph.dataset.glyph = piece === "␍" ? "⟨CR⟩" : piece;
  return glyph;
}

function contentsOf({ text, hex }) {
  return text === undefined ? element("span", "fd-hex", spaced(hex)) : shownText(text);
}

function plain({ text, hex }) {
  return text === undefined ? `bytes ${spaced(hex)}` : text;
}

function classOf(state) {
  return `fd-${state.replaceAll("_", "-")}`;
}

function spaced(hex) {
  return (hex.toUpperCase().match(/../g) ?? []).join(" ");
}

function signed(number) {
  return number > 0 ? `+${number}` : `−${-number}`;
}
