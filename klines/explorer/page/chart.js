// Klines with their volume; where some lack, the step has a band with the reason; a step with a restatement has a mark.

import { draggable } from "./drag.js";
import {
  CandlestickSeries, createChart, createSeriesMarkers, HistogramSeries, TickMarkType,
} from "./lightweight-charts/lightweight-charts.mjs";
import { colour, count, element, minute, onScheme, plural } from "./look.js";

const LABELS = 8; // so many gaps have their reason written on them: the longest
const EDGE = 26, NAME = 54; // half of a label of the axis, and of the longest reason, in pixels
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 };

/** A chart in `picture`, told in `readout`; `onRange(from_ms, to_ms)` gets what was dragged over, in whole steps.
 * Returns what shows an answer. */
export function chart(picture, readout, onRange) {
  let drawn, shown, bands, prices, volumes, marks, names, cursor = -1;
  const selection = element("div", "selection");

  function create() {
    drawn = createChart(picture, {
      autoSize: true,
      timeScale: {
        timeVisible: true, secondsVisible: false, minBarSpacing: 0.05,
        tickMarkFormatter: tick,
      },
      rightPriceScale: { minimumWidth: 76 },
      layout: { attributionLogo: false, panes: { enableResize: false } }, // the page's foot names TradingView
      localization: { locale: "en-GB", timeFormatter: (s) => minute(s * 1000) },
      handleScroll: { mouseWheel: false, pressedMouseMove: false, vertTouchDrag: false, horzTouchDrag: false },
    });
    const whole = () => ({ priceRange: { minValue: 0, maxValue: 1 } });
    bands = drawn.addSeries(HistogramSeries, { priceScaleId: "bands", autoscaleInfoProvider: whole, ...QUIET });
    bands.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    prices = drawn.addSeries(CandlestickSeries, { borderVisible: false, ...QUIET });
    volumes = drawn.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, ...QUIET }, 1);
    [names, marks] = [createSeriesMarkers(bands, []), createSeriesMarkers(prices, [])];
    drawn.panes()[0].setStretchFactor(3);
    drawn.panes()[1].setStretchFactor(1);
    picture.append(selection);
    selection.hidden = true;
    picture.addEventListener("pointermove", (event) => tell(stepAt(event.clientX - picture.getBoundingClientRect().left)));
    picture.addEventListener("pointerleave", () => tell(-1));
    picture.addEventListener("keydown", byKey);
    picture.addEventListener("blur", () => drawn.clearCrosshairPosition());
    draggable(picture, { onMove: select, onEnd: take, onClick: () => {} });
  }

  const stepAt = (x) => drawn.timeScale().coordinateToLogical(x);
  const tell = (i) => { readout.textContent = shown.time[i] === undefined ? HOW : described(shown, i); };

  function byKey(event) {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const last = shown.time.length - 1;
    cursor = cursor < 0 ? last : Math.min(Math.max(0, cursor + KEYS[event.key]), last);
    drawn.setCrosshairPosition(1, shown.time[cursor], bands);
    tell(cursor);
  }

  /** All of it, with room for half a label at both ends. */
  function fit() {
    const steps = shown.time.length, width = drawn.timeScale().width();
    const room = Math.max(0.5, (steps * EDGE) / Math.max(EDGE, width - 2 * EDGE));
    drawn.timeScale().setVisibleLogicalRange({ from: -room, to: steps - 1 + room });
    name();
  }

  const name = () => names.setMarkers(reasons(shown, Math.ceil((shown.time.length * NAME) / Math.max(1, drawn.timeScale().width()))));

  function select(began, ends) {
    selection.hidden = !began;
    if (!began) return;
    selection.style.left = `${Math.min(began.x, ends.x)}px`;
    selection.style.width = `${Math.abs(ends.x - began.x)}px`;
  }

  function take(began, ends) {
    selection.hidden = true;
    const last = shown.time.length - 1, within = (i) => Math.min(Math.max(0, i), last);
    const [from, to] = [began.x, ends.x].sort((a, b) => a - b).map((x) => within(stepAt(x)));
    const end_ms = to < last ? shown.time[to + 1] * 1000 : shown.end_ms;
    onRange(Math.max(shown.time[from] * 1000, shown.start_ms), end_ms);
  }

  function paint() {
    const [up, down, line, soft, paper] = ["up", "down", "line", "soft", "paper"].map((name) => colour(name));
    drawn.applyOptions({
      layout: { background: { color: paper }, textColor: soft, panes: { separatorColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      timeScale: { borderColor: line },
      rightPriceScale: { borderColor: line },
    });
    prices.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    prices.applyOptions({ priceFormat: format(shown) });
    const all = [...shown.time.keys()];
    bands.setData(all.map((i) => ({ time: shown.time[i], ...band(shown, i) })));
    prices.setData(all.map((i) => {
      const time = shown.time[i];
      if (!shown.stored[i]) return { time };
      return { time, open: shown.open[i], high: shown.high[i], low: shown.low[i], close: shown.close[i] };
    }));
    const [rising, falling] = [colour("up", 0.6), colour("down", 0.6)];
    volumes.setData(all.map((i) => {
      const time = shown.time[i], color = shown.close[i] < shown.open[i] ? falling : rising;
      return shown.stored[i] && shown.volume[i] !== null ? { time, value: shown.volume[i], color } : { time };
    }));
    name();
    marks.setMarkers(all.filter((i) => shown.restated[i] && shown.stored[i]).map((i) => (
      { time: shown.time[i], position: "aboveBar", shape: "arrowDown", color: colour("restated") }
    )));
  }

  onScheme(() => shown && paint());
  return (found) => {
    const isSame = shown && ["start_ms", "end_ms", "step"].every((name) => shown[name] === found[name]);
    shown = found;
    if (!drawn) create();
    paint();
    if (isSame) return; // a newer state of the same range
    cursor = -1;
    tell(-1);
    requestAnimationFrame(fit); // a new chart has its width by then
  };
}

const QUIET = { priceLineVisible: false, lastValueVisible: false };
const HOW = "Point at a step, or go there by the arrow keys; dragging over some shows them alone, and Back leads back.";

/** A time on the axis, in ISO 8601, as much of it as has changed. */
function tick(seconds, type) {
  const parts = { [TickMarkType.Year]: [0, 4], [TickMarkType.Month]: [0, 7], [TickMarkType.DayOfMonth]: [5, 10] };
  return new Date(seconds * 1000).toISOString().slice(...(parts[type] ?? [11, 16]));
}

/** How many klines of a step lack without a reason. */
const unexplained = (found, i) => Math.max(0, found.expected[i] - found.stored[i] - found.explained[i]);

function band(found, i) {
  if (unexplained(found, i)) return { value: 1, color: colour("unexplained", 0.33) };
  return found.explained[i] ? { value: 1, color: colour("explained", 0.27) } : {};
}

/** The reason of each gap, at its middle, but at least so many steps from both ends; of the longest ones. */
function reasons(found, least) {
  const gaps = [];
  found.time.forEach((time, i) => {
    if (!unexplained(found, i) && !found.explained[i]) return;
    const why = whyOf(found, i), last = gaps.at(-1);
    if (last?.why === why && last.end === i) last.end = i + 1;
    else gaps.push({ why, begin: i, end: i + 1 });
  });
  const longest = gaps.sort((a, b) => b.end - b.begin - (a.end - a.begin)).slice(0, LABELS);
  return longest.sort((a, b) => a.begin - b.begin).map(({ why, begin, end }) => ({
    time: found.time[inside(Math.floor((begin + end - 1) / 2), found.time.length - 1, least)], position: "atPriceBottom", price: 0.98, shape: "square", size: 0,
    color: colour("ink"), text: why,
  }));
}

/** A step, moved so far inside that it is `least` from the first and the last, where there are so many. */
const inside = (step, last, least) => Math.round(Math.min(Math.max(step, Math.min(least, last / 2)), Math.max(last - least, last / 2)));

/** Why klines of a step lack, without their numbers. */
function whyOf(found, i) {
  const named = (found.reasons[i] ?? "").replace(/\d+ /g, "");
  const rest = found.expected[i] - found.stored[i] - found.named[i] > 0 ? "not in the ledger" : "";
  return [named, rest].filter(Boolean).join(", ");
}

function described(found, i) {
  const lines = [`${minute(found.time[i] * 1000)} UTC`];
  if (found.stored[i]) {
    lines.push(`open ${found.open[i]} high ${found.high[i]} low ${found.low[i]} close ${found.close[i]}`);
    if (found.volume[i] !== null) lines.push(`volume ${found.volume[i].toLocaleString("en-US")}`);
  }
  if (found.stored[i] < found.expected[i]) {
    const unnamed = found.expected[i] - found.stored[i] - found.named[i];
    lines.push(`${count(found.stored[i])} of ${count(found.expected[i])} stored`);
    if (found.reasons[i]) lines.push(found.reasons[i]);
    if (unnamed > 0) lines.push(`${count(unnamed)} in no row of the ledger`);
  }
  if (found.restated[i]) lines.push(`${plural(found.restated[i], "restatement")}: ${changes(found, i)}`);
  return lines.join(" · ");
}

/** What the last restatement of a step has changed: `close 1 → 2 (daily, seen 2026-01-31 12:00)`. */
function changes(found, i) {
  const [old, now] = [JSON.parse(found.old[i]), JSON.parse(found.new[i])];
  const names = Object.keys(now).filter((name) => old[name] !== now[name]);
  return `${names.map((name) => `${name} ${old[name]} → ${now[name]}`).join(", ")} (${found.changed_by[i]})`;
}

/** Prices with as many decimals as the last one needs: coins cost from 0.00000001 to 100,000. */
function format(found) {
  const last = found.close.findLast((price) => price !== null) ?? 1;
  const precision = Math.min(10, Math.max(2, 5 - Math.ceil(Math.log10(last || 1))));
  return { type: "price", precision, minMove: 10 ** -precision };
}
