// Tables: the ledger with its filters, and the incidents and runs of the last days.

import { count, element, lasting, minute, plural } from "./look.js";

const FOREVER_MS = Date.parse("9000-01-01");
const NAMED = 5; // so many symbols of an incident are named

/** Rows in `table`: of each column [title, cell(row)], a text or an element; the titles stand beside cells on phones. */
function fill(table, columns, rows) {
  const head = element("tr", "");
  head.append(...columns.map(([title]) => Object.assign(element("th", "", title), { scope: "col" })));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = element("tr", "");
    line.append(...columns.map(([title, cell]) => {
      const place = element("td", "");
      place.dataset.title = title;
      place.append(cell(row));
      return place;
    }));
    return line;
  }));
}

/** The ledger in `table`; a symbol in it is a button that picks a range around its row. */
export function ledgerTable(table, onPick) {
  const link = (row) => {
    const button = element("button", "link", row.symbol);
    button.addEventListener("click", () => onPick(row.symbol, row.start_ms, Math.min(row.end_ms, Date.now())));
    return button;
  };
  const columns = [
    ["symbol", link],
    ["from", (row) => minute(row.start_ms)],
    ["to", (row) => (row.end_ms > FOREVER_MS ? "open" : minute(row.end_ms))],
    ["klines", (row) => count(row.klines)],
    ["reason", (row) => row.reason],
    ["checks", (row) => count(row.attempts)],
    ["last check", (row) => (row.last_checked_ms === null ? "never" : minute(row.last_checked_ms))],
    ["next check", (row) => (row.next_check_ms === null ? "settled" : minute(row.next_check_ms))],
  ];
  return (found) => fill(table, columns, found.symbol.map((_, i) => (
    Object.fromEntries(["symbol", "start_ms", "end_ms", "klines", "reason", "attempts", "last_checked_ms", "next_check_ms"]
      .map((name) => [name, found[name][i]]))
  )));
}

/** `3 rows, 180 klines: exchange_outage 180`; and the choices of a list of reasons. */
export function ledgerSums(found, select) {
  const chosen = select.value, all = found.sums.map(({ reason }) => reason);
  select.replaceChildren(new Option("every reason", ""), ...all.map((reason) => new Option(reason, reason)));
  if (chosen && !all.includes(chosen)) select.append(new Option(chosen, chosen));
  select.value = chosen;
  const some = found.sums.filter(({ reason }) => !chosen || reason === chosen);
  const rows = some.reduce((total, it) => total + it.rows, 0), shown = found.symbol.length;
  if (!rows) return "no rows: nothing is missing here";
  const told = some.map(({ reason, klines }) => `${reason} ${count(klines)}`).join(", ");
  return `${plural(rows, "row")}, klines by reason: ${told}${shown < rows ? `; the newest ${count(shown)} are shown` : ""}`;
}

/** The incidents in a table, and what is said of them. */
export function incidentTable(table, incidents) {
  fill(table, [
    ["market", (it) => `${it.market} ${it.intervals.join(" ")}`],
    ["what", (it) => it.kind],
    ["began", (it) => minute(it.began_ms)],
    ["ended", (it) => (it.ended_ms === null ? "goes on" : `${minute(it.ended_ms)}, after ${lasting(it.ended_ms - it.began_ms)}`)],
    ["runs", (it) => count(it.runs)],
    ["symbols", (it) => some(it.symbols)],
    ["message", (it) => it.message],
  ], incidents);
  table.hidden = !incidents.length;
  const going = incidents.filter((it) => it.ended_ms === null).length;
  return incidents.length ? `${plural(incidents.length, "incident")}, ${going} of which ${going === 1 ? "goes" : "go"} on` : "no incidents";
}

const some = (symbols) => (symbols.length
  ? symbols.slice(0, NAMED).join(", ") + (symbols.length > NAMED ? ` and ${count(symbols.length - NAMED)} more` : "")
  : "all");

/** The runs in a table, and what is said of them. */
export function runTable(table, runs) {
  table.hidden = !runs?.length;
  if (!runs) return "runs are not shown, as no Prefect server answers: make run starts one";
  fill(table, [
    ["began", (run) => run.began],
    ["run", (run) => run.name],
    ["state", (run) => element("span", run.state === "Completed" ? "" : "bad", run.state)],
    ["took", (run) => `${run.seconds} s`],
    ["message", (run) => run.message],
  ], runs);
  const states = Map.groupBy(runs, (run) => run.state);
  return runs.length ? `the last ${plural(runs.length, "run")}: ${[...states].map(([state, its]) => `${its.length} ${state}`).join(", ")}` : "no runs yet";
}
