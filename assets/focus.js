// Gives the keyboard back to a button that was moved. Streamlit draws a new order one row after the
// other: for an instant the row may be nowhere on the page, and then the focus is lost.

const SETTLED_MS = 3000; // by then the new order stands, even where the machine is busy

let given = 0;

/** Whenever nothing has the focus for a while from now on, focus the first of the buttons
 *  `data.keys` that is enabled; once a turn. */
export default function ({ data }) {
  if (data.turn === given) return;
  given = data.turn;
  const until = performance.now() + SETTLED_MS;
  const look = () => {
    if (data.turn !== given) return;
    if (document.activeElement.matches("body, :disabled")) find(data.keys)?.focus();
    if (performance.now() < until) requestAnimationFrame(look);
  };
  look();
}

function find(keys) {
  return keys.map((key) => document.querySelector(`.st-key-${key} button:enabled`)).find(Boolean);
}
