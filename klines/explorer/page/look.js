// What the pictures share: colours of the scheme in force, the tip beside the pointer, and how times and numbers read.

export const DAY_MS = 86_400_000;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** A colour of style.css by its name, as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Call back when the scheme changes. */
export const onScheme = (redraw) => dark.addEventListener("change", redraw);

export const count = (number) => number.toLocaleString("en-US");
export const day = (number) => new Date(number * DAY_MS).toISOString().slice(0, 10);
export const minute = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");

/** Show lines beside the pointer, or nothing. They are text, whatever they hold. */
export function tip(event, text) {
  const element = document.getElementById("tip");
  element.hidden = !text;
  if (!text) return;
  element.textContent = text;
  const { width, height } = element.getBoundingClientRect();
  const right = event.clientX + 14;
  element.style.left = `${right + width > innerWidth - 8 ? Math.max(8, event.clientX - width - 14) : right}px`;
  element.style.top = `${Math.min(event.clientY + 14, innerHeight - height - 8)}px`;
}
