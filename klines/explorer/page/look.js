// What the pictures share: colours of the scheme in force, and how times and numbers read.

export const DAY_MS = 86_400_000;
const probe = document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
const waiting = [];

/** A colour of style.css by its name, as it is now, for `opacity` of 1 or less. */
export function colour(name, opacity = 1) {
  const [red, green, blue] = channels(name);
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

/** Its red, green and blue. */
export function channels(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
}

/** Call back when the scheme changes. */
export const onScheme = (redraw) => waiting.push(redraw);
export const schemeChanged = () => waiting.forEach((redraw) => redraw());

export const count = (number) => number.toLocaleString("en-US");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
export const day = (number) => new Date(number * DAY_MS).toISOString().slice(0, 10);
export const minute = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
export const second = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

/** `2 min`, as an age or a length reads. */
export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}

/** A time as a person writes it, `2026-01-31` or `2026-01-31 12:00`, as the server is asked for it; null if it is none. */
export function moment(text) {
  const found = text.trim().match(/^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d))?(?::00)?Z?$/);
  const iso = found && `${found[1]}T${found[2] ?? "00:00"}`;
  return iso && !Number.isNaN(Date.parse(`${iso}Z`)) ? iso : null;
}

/** An element with a class and text; what is text stays text, whatever it holds. */
export function element(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
