// A row for each symbol, a column for each day; where there are more days than pixels, the worst of them is shown.

import { draggable } from "./drag.js";
import { channels, colour, count, day, onScheme } from "./look.js";

const KINDS = ["nothing", "stored", "explained-day", "explained", "unexplained"]; // by how bad a day is
const AXIS = 20, LABEL = 12, TICK = 76, FONT = "11px system-ui, sans-serif";
const HEIGHT = 480, TALLEST = 18; // of all rows, as long as one has a pixel; of a row
const KEYS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -1e9], End: [0, 1e9],
};

/** The kind of each day of symbol i, as its place in KINDS. */
function kindsOf(found, i) {
  return Uint8Array.from(found.expected[i], (expected, d) => {
    if (found.unexplained[i][d]) return 4;
    if (found.explained[i][d]) return found.stored[i][d] ? 3 : 2;
    return found.stored[i][d] ? 1 : 0;
  });
}

/** The worst of the days [from, to) of a row. */
function worstOf({ since, kinds }, from, to) {
  let worst = from;
  for (let d = from; d < to; d++) if ((kinds[d - since] ?? 0) > (kinds[worst - since] ?? 0)) worst = d;
  return [worst, worst + 1];
}

/** A map on `canvas`, whose days are told in `readout`; `onPick(symbol, from, to)` gets the days [from, to) that were
 * clicked, dragged over or entered. Returns {show, filter}, which both return the rows that are shown. */
export function heatmap(canvas, readout, onPick) {
  let found, first, days, all = [], rows = [], view;
  let cursor = null; // {r, from, to, isRange}: a row and days of the epoch; unless it is a range, the worst of them

  function draw() {
    if (!found || !canvas.parentElement.clientWidth) return;
    const scale = devicePixelRatio, width = canvas.parentElement.clientWidth;
    const names = width < 500 ? 84 : 104, plot = width - names;
    const high = Math.min(TALLEST, Math.max(1, Math.floor(HEIGHT / Math.max(1, rows.length))));
    view = { plot, high, names };
    canvas.style.height = `${rows.length * high + AXIS}px`;
    canvas.width = width * scale;
    canvas.height = (rows.length * high + AXIS) * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    if (rows.length) context.drawImage(image(Math.round(plot * scale)), names, AXIS, plot, rows.length * high);
    context.fillStyle = colour("paper");
    if (high > 4) rows.forEach((_, r) => context.fillRect(names, AXIS + r * high, plot, 1));
    label(context);
    if (cursor) outline(context);
  }

  function image(columns) {
    const picture = new OffscreenCanvas(columns, rows.length), context = picture.getContext("2d");
    const colours = KINDS.map(pixel);
    const data = context.createImageData(columns, rows.length), pixels = new Uint32Array(data.data.buffer);
    rows.forEach(({ since, kinds }, r) => {
      for (let x = 0; x < columns; x++) {
        const [from, to] = span(x, columns);
        let worst = 0;
        for (let d = from; d < to; d++) worst = Math.max(worst, kinds[d - since] ?? 0);
        pixels[r * columns + x] = colours[worst];
      }
    });
    context.putImageData(data, 0, 0);
    return picture;
  }

  /** The days, [from, to), that column x of so many shows. */
  function span(x, columns) {
    const from = first + Math.floor((x * days) / columns);
    return [from, Math.max(from + 1, first + Math.floor(((x + 1) * days) / columns))];
  }

  function label(context) {
    const { plot, high, names } = view;
    context.fillStyle = colour("soft");
    context.font = FONT;
    context.textBaseline = "middle";
    const each = Math.ceil(LABEL / high);
    for (let r = 0; r < rows.length; r += each) {
      context.fillText(rows[r].symbol, 0, AXIS + (r + 0.5) * high, names - 8);
    }
    for (const { at, text } of ticks(first, days, plot / TICK)) {
      const x = ((at - first) * plot) / days;
      if (x + TICK < plot + 12) context.fillText(text, names + x, AXIS / 2 - 2);
    }
  }

  function outline(context) {
    const { plot, high, names } = view, at = (d) => names + ((d - first) * plot) / days;
    const left = at(cursor.from), top = AXIS + cursor.r * high;
    context.strokeStyle = colour("ink");
    context.lineWidth = 2;
    context.strokeRect(left - 1, top - 1, Math.max(2, at(cursor.to) - left) + 2, high + 2);
  }

  /** The row and the days at a place of the canvas. */
  function placeOf(x, y) {
    const { plot, high, names } = view, r = Math.floor((y - AXIS) / high);
    const column = Math.min(Math.max(Math.floor(x - names), 0), Math.round(plot) - 1);
    if (!rows[r] || x < names) return null;
    const [from, to] = span(column, Math.round(plot));
    return { r, from, to };
  }

  const placeAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return found ? placeOf(event.clientX - box.left, event.clientY - box.top) : null;
  };

  function point(place) {
    cursor = place;
    draw();
    readout.textContent = place ? told(place) : HOW;
  }

  function told({ r, from, to, isRange }) {
    const { symbol, i, since } = rows[r];
    if (!isRange) [from, to] = worstOf(rows[r], from, to);
    const range = to - from > 1 ? `${day(from)} to ${day(to - 1)}` : day(from);
    return `${symbol} · ${range} · ${counts(found, i, from - since, to - since)}`;
  }

  function between(began, ends) {
    const [a, b] = [placeAt(began.event), placeAt(ends.event)];
    return a && { r: a.r, from: Math.min(a.from, b?.from ?? a.from), to: Math.max(a.to, b?.to ?? a.to), isRange: true };
  }

  function pick(place) {
    if (!place) return;
    const [from, to] = place.isRange ? [place.from, place.to] : worstOf(rows[place.r], place.from, place.to);
    onPick(rows[place.r].symbol, from, to);
  }

  canvas.addEventListener("pointermove", (event) => event.buttons || point(placeAt(event)));
  canvas.addEventListener("pointerleave", () => document.activeElement === canvas || point(null));
  draggable(canvas, {
    onMove: (began, ends) => point(began && between(began, ends)),
    onEnd: (began, ends) => pick(between(began, ends)),
    onClick: (event) => pick(placeAt(event)),
  });
  canvas.addEventListener("keydown", (event) => {
    if (!rows.length) return;
    const last = first + days - 1, at = cursor ?? { r: 0, from: last, to: last + 1 };
    if (event.key === "Enter" || event.key === " ") pick(at);
    else if (!(event.key in KEYS)) return;
    else move(at, KEYS[event.key], event.shiftKey);
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => cursor || (rows.length && move({ r: 0, from: first + days - 1 }, [0, 0])));
  canvas.addEventListener("blur", () => point(null));

  /** Move the cursor by rows and days; with `isWider` its days grow. */
  function move(at, [down, right], isWider) {
    const within = (low, value, high) => Math.min(Math.max(low, value), high), last = first + days - 1;
    const step = right * Math.max(1, Math.ceil(days / view.plot));
    if (isWider && right) {
      const from = right < 0 ? within(first, at.from + step, last) : at.from;
      const to = right > 0 ? within(first + 1, at.to + step, last + 1) : at.to;
      point({ r: at.r, from, to, isRange: true });
    } else {
      const from = within(first, at.from + step, last);
      point({ r: within(0, at.r + down, rows.length - 1), from, to: from + Math.max(1, Math.ceil(days / view.plot)) });
    }
    const top = AXIS + cursor.r * view.high, box = canvas.parentElement;
    box.scrollTop = within(top + view.high - box.clientHeight, box.scrollTop, top - AXIS);
  }

  new ResizeObserver(draw).observe(canvas.parentElement);
  onScheme(draw);

  function filter(text) {
    const held = cursor && rows[cursor.r].symbol;
    rows = all.filter((row) => row.symbol.toUpperCase().includes(text.trim().toUpperCase()));
    const r = rows.findIndex(({ symbol }) => symbol === held);
    point(r < 0 ? null : { ...cursor, r });
    return rows;
  }
  return {
    filter,
    show(answer, text) {
      found = answer;
      all = found.symbol.map((symbol, i) => ({ symbol, i, since: found.since[i], kinds: kindsOf(found, i) }));
      first = Math.min(...found.since);
      days = Math.max(...all.map((row) => row.since + row.kinds.length)) - first;
      return filter(text);
    },
  };
}

const HOW = "Point at a day, or go there by the arrow keys; a click, Enter or dragging over days shows the klines.";

function counts(found, i, from, to) {
  const sum = (name) => found[name][i].slice(Math.max(0, from), Math.max(0, to)).reduce((total, it) => total + it, 0);
  if (found.expected[i][to - 1] === undefined) return from < 0 ? "before the series began" : "yet to come";
  const lines = [`${count(sum("stored"))} of ${count(sum("expected"))} stored`];
  for (const kind of ["explained", "unexplained"]) if (sum(kind)) lines.push(`${count(sum(kind))} ${kind}`);
  return lines.join(" · ");
}

/** The days to name on the axis, with their names: some days, or the firsts of some months; `most` have room. */
function ticks(first, days, most) {
  const all = Array.from({ length: days }, (_, i) => ({ at: first + i, text: day(first + i) }));
  if (days < 62) return all.filter((_, i) => i % Math.ceil(days / most) === 0);
  const months = [1, 2, 3, 4, 6].find((it) => it >= days / 30 / most) ?? 12;
  const years = Math.ceil(days / 365 / most);
  return all.filter(({ text }) => {
    const [year, month] = [Number(text.slice(0, 4)), Number(text.slice(5, 7))];
    return text.endsWith("-01") && (month - 1) % months === 0 && (months < 12 || year % years === 0);
  });
}

/** A colour as a pixel of an image. */
function pixel(name) {
  const [red, green, blue] = channels(name);
  return 0xff000000 + (blue << 16) + (green << 8) + red;
}
