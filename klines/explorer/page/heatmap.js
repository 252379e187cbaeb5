// A row for each symbol, a column for each day; where there are more days than pixels, the worst of them is shown.

import { colour, count, day, onScheme, tip } from "./look.js";

const KINDS = ["nothing", "stored", "explained-day", "explained", "unexplained"]; // by how bad a day is
const NAMES = 104, AXIS = 20, LABEL = 12, TICK = 76, FONT = "11px system-ui, sans-serif";
const HEIGHT = 480, TALLEST = 18; // of all rows, as long as one has a pixel; of a row

/** The kind of each day of symbol i, as its place in KINDS. */
function kindsOf(found, i) {
  return Uint8Array.from(found.expected[i], (expected, d) => {
    if (found.unexplained[i][d]) return 4;
    if (found.explained[i][d]) return found.stored[i][d] ? 3 : 2;
    return found.stored[i][d] ? 1 : 0;
  });
}

/** A picture on `canvas`; a click picks a symbol and a day. Returns {show, filter}. */
export function heatmap(canvas, onPick) {
  let found, first, days, all = [], rows = [], view;

  function draw() {
    if (!found || canvas.clientWidth <= NAMES) return;
    const scale = devicePixelRatio, width = canvas.clientWidth, plot = width - NAMES;
    const high = Math.min(TALLEST, Math.max(1, Math.floor(HEIGHT / Math.max(1, rows.length))));
    view = { plot, high };
    canvas.style.height = `${rows.length * high + AXIS}px`;
    canvas.width = width * scale;
    canvas.height = (rows.length * high + AXIS) * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    if (rows.length) context.drawImage(image(Math.round(plot * scale)), NAMES, AXIS, plot, rows.length * high);
    context.fillStyle = colour("paper");
    if (high > 4) rows.forEach((_, r) => context.fillRect(NAMES, AXIS + r * high, plot, 1));
    label(context, plot, high);
  }

  function image(columns) {
    const picture = new OffscreenCanvas(columns, rows.length), context = picture.getContext("2d");
    const colours = KINDS.map((kind) => pixel(colour(kind)));
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

  function label(context, plot, high) {
    context.fillStyle = colour("soft");
    context.font = FONT;
    context.textBaseline = "middle";
    const each = Math.ceil(LABEL / high);
    for (let r = 0; r < rows.length; r += each) {
      context.fillText(rows[r].symbol, 0, AXIS + (r + 0.5) * high, NAMES - 8);
    }
    for (const { at, text } of ticks(first, days, plot / TICK)) {
      const x = ((at - first) * plot) / days;
      if (x + TICK < plot + 12) context.fillText(text, NAMES + x, AXIS / 2 - 2);
    }
  }

  function pointed(event) {
    const r = Math.floor((event.offsetY - AXIS) / view.high), x = event.offsetX - NAMES;
    if (!rows[r] || x < 0 || x >= view.plot) return null;
    const { since, kinds, symbol, i } = rows[r], [from, to] = span(Math.floor(x), Math.round(view.plot));
    let worst = from;
    for (let d = from; d < to; d++) if ((kinds[d - since] ?? 0) > (kinds[worst - since] ?? 0)) worst = d;
    return { symbol, i, d: worst - since, at: worst };
  }

  canvas.addEventListener("pointermove", (event) => {
    const it = found && pointed(event);
    tip(event, it && `${it.symbol} · ${day(it.at)}\n${counts(found, it.i, it.d)}`);
  });
  canvas.addEventListener("pointerleave", (event) => tip(event, ""));
  canvas.addEventListener("click", (event) => {
    const it = found && pointed(event);
    if (it) onPick(it.symbol, it.at);
  });
  new ResizeObserver(draw).observe(canvas.parentElement);
  onScheme(draw);

  function filter(text) {
    rows = all.filter((row) => row.symbol.includes(text.toUpperCase()));
    draw();
  }
  return {
    filter,
    show(answer, text) {
      found = answer;
      all = found.symbol.map((symbol, i) => ({ symbol, i, since: found.since[i], kinds: kindsOf(found, i) }));
      first = Math.min(...found.since);
      days = Math.max(...all.map((row) => row.since + row.kinds.length)) - first;
      filter(text);
    },
  };
}

function counts(found, i, d) {
  if (found.expected[i][d] === undefined) return "before the series began";
  const lines = [`${count(found.stored[i][d])} of ${count(found.expected[i][d])} stored`];
  for (const kind of ["explained", "unexplained"]) {
    if (found[kind][i][d]) lines.push(`${count(found[kind][i][d])} ${kind}`);
  }
  return lines.join("\n");
}

/** The days to name on the axis, with their names: some days, or the firsts of some months; `most` have room. */
function ticks(first, days, most) {
  const all = Array.from({ length: days }, (_, i) => ({ at: first + i, text: day(first + i) }));
  if (days < 62) return all.filter((_, i) => i % Math.ceil(days / most) === 0);
  const months = [1, 2, 3, 4, 6].find((it) => it >= days / 30 / most) ?? 12;
  return all.filter(({ text }) => text.endsWith("-01") && (Number(text.slice(5, 7)) - 1) % months === 0);
}

/** #rrggbb as a pixel of an image. */
function pixel(css) {
  const [red, green, blue] = css.match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16));
  return 0xff000000 + (blue << 16) + (green << 8) + red;
}
