// Who has the newest kline: a square for each symbol, the worst first.

import { count, element, minute } from "./look.js";

const KIND = { "not trading": "silent" };
const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 };

/** Squares in `picture`, told in `readout`; a click or Enter picks a symbol. Returns what shows an answer. */
export function freshnessPicture(picture, readout, legend, onPick) {
  let shown;
  const at = (event) => [...picture.children].indexOf(event.target);
  const tell = (event) => { readout.textContent = at(event) >= 0 ? told(shown, at(event)) : HOW; };
  picture.addEventListener("pointerover", tell);
  picture.addEventListener("focusin", tell);
  picture.addEventListener("pointerleave", () => { readout.textContent = HOW; });
  picture.addEventListener("click", (event) => at(event) >= 0 && onPick(shown.symbols[at(event)]));
  picture.addEventListener("keydown", (event) => {
    const last = picture.children.length - 1, across = columns(picture);
    const step = { ArrowUp: -across, ArrowDown: across, ...KEYS }[event.key];
    if (!step) return;
    event.preventDefault();
    enter(picture.children[Math.min(Math.max(0, at(event) + step), last)]);
  });

  /** One square alone is a stop of the Tab key: the one that was looked at last. */
  function enter(square) {
    for (const other of picture.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    square.tabIndex = 0;
    square.focus();
  }

  return (found) => {
    shown = found;
    picture.replaceChildren(...found.states.map((state, i) => {
      const square = element("button", KIND[state] ?? state);
      square.ariaLabel = told(found, i);
      square.tabIndex = i ? -1 : 0;
      return square;
    }));
    const states = [...new Set(["fresh", "late", "stale", "not trading", ...found.states])];
    legend.replaceChildren(...states.map((state) => entry(state, found.states.filter((it) => it === state).length)));
    readout.textContent = HOW;
  };
}

const HOW = "Point at a square, or go there by the arrow keys; a click or Enter shows the symbol's klines.";
const told = (found, i) => `${found.symbols[i]} · ${found.states[i]} · ${lacks(found.lacks_from_ms[i])}`;
const lacks = (ms) => (ms === null ? "nothing is stored" : `stored up to ${minute(ms)}`);

function columns(picture) {
  const [first, ...others] = picture.children;
  const below = others.findIndex((square) => square.offsetTop > first.offsetTop);
  return below < 0 ? others.length + 1 : below + 1;
}

/** A colour's name, with how many squares have it. */
function entry(state, number) {
  const item = element("span", "");
  item.append(element("i", KIND[state] ?? state), `${state} ${count(number)}`);
  return item;
}
