// Gives the keyboard back to a button that was moved. Streamlit draws a new order one row after the
// other, and clears away what is left over when the run has ended: more than once the row may be
// nowhere on the page for an instant, and then the focus is lost.

const LOOK_EVERY_MS = 50;
const SETTLED_MS = 30_000; // by then the new order stands, even where the machine is busy

let given = 0;

/** Until the person does something else, whenever nothing has the focus, focus the first of the
 *  buttons `data.keys` that is enabled; once a turn. */
export default function ({ data }) {
  if (data.turn === given) return;
  given = data.turn;
  const over = new AbortController();
  for (const act of ["keydown", "pointerdown"])
    addEventListener(act, () => over.abort(), { capture: true, signal: over.signal });
  const looking = setInterval(() => giveBack(data.keys), LOOK_EVERY_MS);
  const settled = setTimeout(() => over.abort(), SETTLED_MS);
  over.signal.addEventListener("abort", () => {
    clearInterval(looking);
    clearTimeout(settled);
  });
  giveBack(data.keys);
}

function giveBack(keys) {
  if (!document.activeElement.matches("body, :disabled")) return;
  keys.map((key) => document.querySelector(`.st-key-${key} button:enabled`)).find(Boolean)?.focus();
}
