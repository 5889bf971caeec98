// The tree of a prefix cache as nested lists. All text of a person's goes through textContent.

const INVISIBLE = /([·⏎⇥␍]|⟨[^⟩]*⟩)/u;
const DEEPEST = 5; // boxes side by side; a deeper tree is indented on wide screens too

export default function ({ data, parentElement }) {
  const part = (name) => parentElement.querySelector(`.fd-tree-${name}`);
  part("summary").textContent = data.summary;
  part("legend").replaceChildren(...data.legend.map(meaningOf));
  part("picture").classList.toggle("fd-tree-wide", data.depth <= DEEPEST);
  part("picture").replaceChildren(data.roots.length ? listOf(data.roots) : emptied());
  const table = part("table").querySelector("table");
  table.querySelector("thead tr").replaceChildren(...data.columns.map(headingOf));
  table.querySelector("tbody").replaceChildren(...data.rows.map(rowOf));
}

function element(tag, name, ...contents) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...contents);
  return node;
}

function emptied() {
  return element("p", "", "The tree is empty.");
}

function listOf(pieces) {
  const list = element("ul", "fd-tree-children");
  list.append(...pieces.map(branchOf));
  return list;
}

function branchOf(piece) {
  const branch = element("li", "", boxOf(piece));
  if (piece.children.length) branch.append(listOf(piece.children));
  return branch;
}

function boxOf({ state, glyph, word, words, tokens, notes, split }) {
  const box = element("div", `fd-tree-box fd-tree-${state}`);
  box.append(element("div", "fd-tree-text", ...words.map(tokenOf)));
  const facts = element("div", "fd-tree-facts", element("b", "", `${glyph} ${word}`), tokens);
  facts.append(...notes.map((note) => element("span", "fd-tree-note", note)));
  box.append(facts);
  if (split) box.append(element("div", "fd-tree-split", split));
  return box;
}

/** One token, the glyphs of what is invisible standing back; or how many are left out here. */
function tokenOf({ text, left_out }) {
  if (left_out) return element("span", "fd-tree-gap", left_out);
  const parts = text.split(INVISIBLE).map((one, i) => (i % 2 ? element("i", "", one) : one));
  return element("span", "fd-tree-token", ...parts);
}

function meaningOf({ state, glyph, word, meaning }) {
  const key = element("b", `fd-tree-key fd-tree-${state}`, `${glyph} ${word}`);
  return element("li", "", key, ` ${meaning}`);
}

function headingOf(name) {
  const heading = element("th", "", name);
  heading.scope = "col";
  return heading;
}

function rowOf(cells) {
  return element("tr", "", ...cells.map((cell) => element("td", "", cell)));
}
