// The page: what is chosen stands in its address, and each section asks for itself.

import { ask, say } from "./ask.js";
import { chart } from "./chart.js";
import { combobox } from "./combobox.js";
import { freshnessPicture } from "./freshness.js";
import { heatmap } from "./heatmap.js";
import { incidentTable, ledgerSums, ledgerTable, runTable } from "./lists.js";
import { count, DAY_MS, day, minute, moment, plural } from "./look.js";
import { schemeSwitch } from "./scheme.js";
import { follow } from "./state.js";

const REFRESH_MS = 60_000, PAUSE_MS = 250;
const $ = (selector) => document.querySelector(selector);

schemeSwitch($(".scheme"));
const showFreshness = freshnessPicture(
  $("#freshness .picture"), $("#freshness .readout"), $("#freshness .legend"), (symbol) => pick({ symbol }),
);
const map = heatmap($("#coverage canvas"), $("#coverage .readout"), (symbol, from, to) => (
  pick({ symbol, start: day(from), end: day(to) })
));
const showKlines = chart($("#klines .picture"), $("#klines .readout"), (from_ms, to_ms) => (
  choose({ start: iso(from_ms), end: iso(to_ms) })
));
const showLedger = ledgerTable($("#ledger table"), (symbol, from_ms, to_ms) => {
  const around = Math.max(to_ms - from_ms, 30 * 60_000);
  pick({ symbol, start: iso(Math.max(0, from_ms - around)), end: iso(to_ms + around) });
});
const symbols = combobox($("#symbol"), $("#symbols"), () => series().symbols, (symbol) => choose({ symbol }));
const choices = combobox($("#choice"), $("#choices"), () => known.series.map(nameOf), chooseSeries);

let known, told_ms = 0, isAsking = false;
let chosen = fromAddress();

const nameOf = ({ market, kind, interval }) => [market, kind === "klines" ? "" : kind, interval].filter(Boolean).join(" ");
const series = () => known?.series.find((it) => nameOf(it) === nameOf(chosen));
const asked = () => ({ market: chosen.market, kind: chosen.kind, interval: chosen.interval });
const iso = (ms) => new Date(ms).toISOString().slice(0, 16);
const address = () => `#${new URLSearchParams(chosen)}`;
function fromAddress() {
  return { kind: "klines", ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

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
  if (found) sums(found, map.show(found, $("#filter").value));
}

/** What the rows that are shown add up to. */
function sums(found, rows) {
  coverage.found = found;
  const total = (name) => count(rows.reduce((sum, { i }) => sum + found[name][i].reduce((a, b) => a + b, 0), 0));
  const of = rows.length < found.symbol.length ? ` of ${count(found.symbol.length)}` : "";
  say("coverage", `${count(rows.length)}${of} symbols up to ${minute(known.until_ms)} UTC: of ${total("expected")} klines ` +
    `${total("stored")} are stored, ${total("explained")} explained, ${total("unexplained")} unexplained`);
}

async function klines() {
  const { symbol, start, end } = chosen;
  const found = await ask("klines", { ...asked(), symbol, start, end });
  if (!found) return;
  const sum = (name) => found[name].reduce((total, it) => total + it, 0);
  const drawn = found.step === chosen.interval ? "" : `, drawn in steps of ${found.step}`;
  const restated = sum("restated") ? `, ${plural(sum("restated"), "restatement")}` : "";
  say("klines", `${symbol}: ${count(sum("stored"))} of ${count(sum("expected"))} klines are stored${restated}${drawn}`);
  showKlines(found);
}

async function ledger() {
  const range = $("#within").checked ? { start: chosen.start, end: chosen.end } : {};
  const filters = { symbol: $("#named").value.trim(), reason: $("#reason").value };
  const found = await ask("ledger", { ...asked(), ...filters, ...range });
  if (!found) return;
  say("ledger", ledgerSums(found, $("#reason")));
  showLedger(found);
}

async function lately() {
  const found = await ask("lately", {});
  if (!found) return;
  const said = [incidentTable($(".incidents"), found.incidents), runTable($(".runs"), found.runs)];
  say("lately", `Of the last 7 days ${said.join("; ")}`);
}

/** Take a choice over, note it in the address, and show its klines; Back leads to the one before. */
function choose(choice) {
  const before = location.hash;
  chosen = { ...chosen, ...choice };
  if (address() !== before) history[before ? "pushState" : "replaceState"](null, "", address());
  symbols.set(chosen.symbol);
  for (const name of ["start", "end"]) {
    $(`#${name}`).value = minute(Date.parse(`${moment(chosen[name]) ?? chosen[name]}Z`));
    $(`#${name}`).ariaInvalid = "false";
  }
  klines();
  if ($("#within").checked) ledger();
}

/** A choice that was made elsewhere on the page: its klines come into view. */
function pick(choice) {
  choose(choice);
  $("#klines").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

/** The last so many days of the chosen symbol; all of them for 0. */
function lastDays(days) {
  const { symbols: names, since_ms, end_ms } = series(), i = Math.max(0, names.indexOf(chosen.symbol));
  const end = end_ms[i] ?? known.until_ms;
  return { start: iso(days ? Math.max(since_ms[i], end - days * DAY_MS) : since_ms[i]), end: iso(end) };
}

function chooseSeries(name) {
  const found = known.series.find((it) => nameOf(it) === name);
  if (!found) return say("series", `there is nothing of ${name} in the file; choose one of the list`, true);
  const { market, kind, interval, symbols: names } = found;
  chosen = { ...chosen, market, kind, interval };
  choices.set(name);
  if (!chosen.symbol) chosen.symbol = names.includes("BTCUSDT") ? "BTCUSDT" : names[0];
  say("series", "");
  choose(moment(chosen.start ?? "") && moment(chosen.end ?? "") ? {} : lastDays(30));
  freshness();
  coverage();
  ledger();
}

/** Call with the pause that typing leaves. */
function later(call) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, PAUSE_MS);
  };
}

function listen() {
  $("#filter").addEventListener("input", later(() => coverage.found && sums(coverage.found, map.filter($("#filter").value))));
  $("#named").addEventListener("input", later(ledger));
  for (const name of ["#reason", "#within"]) $(name).addEventListener("change", ledger);
  for (const name of ["start", "end"]) {
    $(`#${name}`).addEventListener("change", ({ target }) => {
      const found = moment(target.value);
      target.ariaInvalid = String(!found);
      if (found) choose({ [name]: found });
      else say("klines", `${target.value} is no time; write 2026-01-31 or 2026-01-31 12:00`, true);
    });
  }
  $("#klines .ranges").addEventListener("click", ({ target }) => {
    if (target.matches("button")) choose(lastDays(Number(target.value)));
  });
  $("#coverage .ranges").addEventListener("click", ({ target }) => {
    if (!target.matches("button")) return;
    $("#coverage .chosen").classList.remove("chosen");
    target.classList.add("chosen");
    coverage();
  });
  addEventListener("popstate", () => {
    chosen = { ...chosen, ...fromAddress() };
    chooseSeries(nameOf(chosen));
  });
  setInterval(() => {
    if (document.hidden) return;
    freshness();
    lately();
  }, REFRESH_MS);
}

/** Ask for everything of a state of the database that is newer; a chart that went up to the end goes on doing so. */
async function renew() {
  const isFirst = !known, isAtEnd = series() && chosen.end === lastDays(0).end;
  isAsking = true;
  const found = await ask("series", {});
  isAsking = false;
  if (!found) return;
  known = found;
  $("main").hidden = $("#choosing").hidden = !known.series.length;
  if (!known.series.length) return say("series", "There are no klines yet: make run collects them.");
  if (isFirst) listen();
  if (isAtEnd && series()) {
    chosen.end = lastDays(0).end;
    history.replaceState(null, "", address());
  }
  chooseSeries(nameOf(series() ?? known.series[0]));
  lately();
  newer(told_ms);
}

/** The server has told of a state. */
function newer(taken_ms) {
  told_ms = taken_ms;
  if (!isAsking && !(known?.taken_ms >= taken_ms)) renew();
}

follow($("#series"), newer);
renew();
