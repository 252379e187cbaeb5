// The page: what is chosen stands in its address, and each section asks for itself.

import { ask, say } from "./ask.js";
import { chart } from "./chart.js";
import { freshnessPicture } from "./freshness.js";
import { heatmap } from "./heatmap.js";
import { count, DAY_MS, day, minute } from "./look.js";

const REFRESH_MS = 60_000;
const $ = (selector) => document.querySelector(selector);

const showFreshness = freshnessPicture($("#freshness .picture"), (symbol) => choose({ symbol }));
const map = heatmap($("#coverage canvas"), (symbol, at) => {
  choose({ symbol, start: day(at), end: day(at + 1) });
  $("#klines").scrollIntoView({ behavior: "smooth", block: "nearest" });
});
const showKlines = chart($("#klines .picture"));

let known;
let chosen = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

const series = () => known.series.find((it) => it.market === chosen.market && it.interval === chosen.interval);
const asked = () => ({ market: chosen.market, interval: chosen.interval });
const iso = (ms) => new Date(ms).toISOString().slice(0, 16);

async function freshness() {
  const found = await ask("freshness", asked());
  if (!found) return;
  say("freshness", `${found.said} (at ${minute(Date.now())} UTC)`);
  showFreshness(found);
}

async function coverage() {
  const end = known.until_ms, earliest = Math.min(...series().since_ms);
  const days = Number($("#coverage .chosen").value);
  const start = days ? Math.max(earliest, end - days * DAY_MS) : earliest;
  const found = await ask("coverage", { ...asked(), start: iso(start), end: iso(end) });
  if (!found) return;
  const { expected, stored, explained, unexplained } = found.sums;
  say("coverage", `${count(found.symbol.length)} symbols up to ${minute(end)} UTC: of ${count(expected)} klines ` +
    `${count(stored)} are stored, ${count(explained)} explained, ${count(unexplained)} unexplained`);
  map.show(found, $("#filter").value);
}

async function klines() {
  const { symbol, start, end } = chosen;
  const found = await ask("klines", { ...asked(), symbol, start, end });
  if (!found) return;
  const sum = (name) => found[name].reduce((total, it) => total + it, 0);
  const drawn = found.step === chosen.interval ? "" : `, drawn in steps of ${found.step}`;
  say("klines", `${symbol}: ${count(sum("stored"))} of ${count(sum("expected"))} klines are stored${drawn}`);
  showKlines(found);
}

/** Take a choice over, note it in the address, and show its klines. */
function choose(choice) {
  chosen = { ...chosen, ...choice };
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  $("#symbol").value = chosen.symbol;
  $("#start").value = moment(chosen.start);
  $("#end").value = moment(chosen.end);
  klines();
}

/** A date or a time as the inputs want it. */
const moment = (text) => (text.includes("T") ? text.slice(0, 16) : `${text}T00:00`);

/** The last so many days of the chosen symbol; all of them for 0. */
function lastDays(days) {
  const { symbols, since_ms, last_ms } = series(), i = symbols.indexOf(chosen.symbol);
  const end = (last_ms[i] ?? since_ms[i]) + 60_000;
  return { start: iso(days ? Math.max(since_ms[i], end - days * DAY_MS) : since_ms[i]), end: iso(end) };
}

function chooseSeries() {
  const { market, interval, symbols } = known.series[$("#choice").value];
  chosen = { ...chosen, market, interval };
  if (!symbols.includes(chosen.symbol)) chosen.symbol = symbols.includes("BTCUSDT") ? "BTCUSDT" : symbols[0];
  $("#symbols").replaceChildren(...symbols.map((symbol) => new Option("", symbol)));
  choose(chosen.start && chosen.end ? {} : lastDays(30));
  freshness();
  coverage();
}

function listen() {
  $("#choice").addEventListener("change", chooseSeries);
  $("#filter").addEventListener("input", (event) => map.filter(event.target.value));
  $("#symbol").addEventListener("change", (event) => choose({ symbol: event.target.value.trim().toUpperCase() }));
  for (const name of ["start", "end"]) {
    $(`#${name}`).addEventListener("change", (event) => event.target.value && choose({ [name]: event.target.value }));
  }
  $("#klines .ranges").addEventListener("click", (event) => {
    if (event.target.matches("button")) choose(lastDays(Number(event.target.value)));
  });
  $("#coverage .ranges").addEventListener("click", (event) => {
    if (!event.target.matches("button")) return;
    $("#coverage .chosen").classList.remove("chosen");
    event.target.classList.add("chosen");
    coverage();
  });
  setInterval(() => document.hidden || freshness(), REFRESH_MS);
}

async function begin() {
  known = await ask("series", {});
  if (!known) return;
  say("series", known.database);
  if (!known.series.length) return say("series", `${known.database} has no klines yet: make run collects them.`);
  for (const hidden of [$("main"), $("#choice")]) hidden.hidden = false;
  $("#choice").replaceChildren(...known.series.map((it, i) => new Option(`${it.market} ${it.interval}`, i)));
  $("#choice").value = Math.max(0, known.series.indexOf(series()));
  listen();
  chooseSeries();
}

begin();
