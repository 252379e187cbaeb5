// Who has the newest kline: a square for each symbol, the worst first.

import { minute, tip } from "./look.js";

const KIND = { "not trading": "silent" };

/** Squares in `picture`; a click picks a symbol. */
export function freshnessPicture(picture, onPick) {
  let shown;
  const at = (event) => [...picture.children].indexOf(event.target);
  picture.addEventListener("pointermove", (event) => {
    const i = at(event);
    tip(event, i >= 0 && `${shown.symbols[i]}: ${shown.states[i]}${lacks(shown.lacks_from_ms[i])}`);
  });
  picture.addEventListener("pointerleave", (event) => tip(event, ""));
  picture.addEventListener("click", (event) => at(event) >= 0 && onPick(shown.symbols[at(event)]));
  return (found) => {
    shown = found;
    picture.replaceChildren(...found.states.map((state) => {
      const square = document.createElement("i");
      square.className = KIND[state] ?? state;
      return square;
    }));
  };
}

const lacks = (ms) => (ms === null ? "\nnothing is stored" : `\nstored up to ${minute(ms)}`);
