// Klines with their volume; where some lack, the step has a band, and the tip says why.

import { CandlestickSeries, createChart, HistogramSeries } from "./lightweight-charts/lightweight-charts.mjs";
import { colour, count, minute, onScheme, tip } from "./look.js";

/** A chart in `picture`; returns what shows an answer. */
export function chart(picture) {
  let drawn, shown, bands, prices, volumes;

  function create() {
    drawn = createChart(picture, {
      autoSize: true,
      timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.05 },
      rightPriceScale: { minimumWidth: 76 },
      layout: { attributionLogo: false, panes: { enableResize: false } }, // the page's foot names TradingView
      localization: { locale: "en-GB", timeFormatter: (s) => minute(s * 1000) },
      handleScroll: { mouseWheel: false, vertTouchDrag: false }, // the wheel zooms, a drag moves, the page scrolls
    });
    const whole = () => ({ priceRange: { minValue: 0, maxValue: 1 } });
    bands = drawn.addSeries(HistogramSeries, { priceScaleId: "bands", autoscaleInfoProvider: whole, ...QUIET });
    bands.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    prices = drawn.addSeries(CandlestickSeries, { borderVisible: false, ...QUIET });
    volumes = drawn.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, ...QUIET }, 1);
    drawn.panes()[0].setStretchFactor(3);
    drawn.panes()[1].setStretchFactor(1);
    picture.addEventListener("pointermove", (event) => {
      const i = drawn.timeScale().coordinateToLogical(event.clientX - picture.getBoundingClientRect().left);
      tip(event, shown.time[i] !== undefined && described(shown, i));
    });
    picture.addEventListener("pointerleave", (event) => tip(event, ""));
  }

  function paint() {
    const [up, down, line, soft, paper] = ["up", "down", "line", "soft", "paper"].map(colour);
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
    volumes.setData(all.map((i) => {
      const time = shown.time[i], color = `${shown.close[i] < shown.open[i] ? down : up}99`;
      return shown.stored[i] ? { time, value: shown.volume[i], color } : { time };
    }));
  }

  onScheme(() => shown && paint());
  return (found) => {
    shown = found;
    if (!drawn) create();
    paint();
    requestAnimationFrame(() => drawn.timeScale().fitContent()); // a new chart has its width by then
  };
}

const QUIET = { priceLineVisible: false, lastValueVisible: false };

/** How many klines of a step lack without a reason. */
const unexplained = (found, i) => Math.max(0, found.expected[i] - found.stored[i] - found.explained[i]);

function band(found, i) {
  if (unexplained(found, i)) return { value: 1, color: colour("unexplained") + "55" };
  return found.explained[i] ? { value: 1, color: colour("explained") + "44" } : {};
}

function described(found, i) {
  const lines = [`${minute(found.time[i] * 1000)} UTC`];
  if (found.stored[i]) {
    lines.push(`open ${found.open[i]}  high ${found.high[i]}\nlow ${found.low[i]}  close ${found.close[i]}`);
    lines.push(`volume ${found.volume[i].toLocaleString("en-US")}`);
  }
  if (found.stored[i] < found.expected[i]) {
    const unnamed = found.expected[i] - found.stored[i] - found.named[i];
    lines.push(`${count(found.stored[i])} of ${count(found.expected[i])} stored`);
    if (found.reasons[i]) lines.push(found.reasons[i]);
    if (unnamed > 0) lines.push(`${count(unnamed)} in no row of the ledger`);
  }
  return lines.join("\n");
}

/** Prices with as many decimals as the last one needs: coins cost from 0.00000001 to 100,000. */
function format(found) {
  const last = found.close.findLast((price) => price !== null) ?? 1;
  const precision = Math.min(10, Math.max(2, 5 - Math.ceil(Math.log10(last || 1))));
  return { type: "price", precision, minMove: 10 ** -precision };
}
