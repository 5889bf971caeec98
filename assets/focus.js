// Gives the keyboard back to a button that was moved. Streamlit draws a new order one row after the
// other: for an instant the row may be nowhere on the page, and then the focus is lost.

let given = 0;

/** Focus the first button of `data.keys` that is enabled, if nothing has the focus; once a turn. */
export default function ({ data }) {
  if (data.turn === given) return;
  given = data.turn;
  if (!document.activeElement.matches("body, :disabled")) return;
  const buttons = data.keys.map((key) => document.querySelector(`.st-key-${key} button:enabled`));
  buttons.find(Boolean)?.focus();
}
