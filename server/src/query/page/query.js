// Asks an expression, as a graph over a range or as a table at a time.

import { ask, element, post, series, tell } from "./api.js";
import { draw } from "./graph.js";
import { complete } from "./complete.js";
import { explain } from "./explain.js";

const RANGES = ["5m", "15m", "1h", "3h", "6h", "12h", "1d", "2d", "7d", "30d", "90d", "180d"];
const REFRESH = { off: 0, "5s": 5, "15s": 15, "1m": 60, "5m": 300 };
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };
// What is shown at first: something that every Sarsen which scrapes itself has.
const FIRST = "process_resident_memory_bytes";
const ROWS = 1000;

const at = (id) => document.getElementById(id);

// Seconds of a duration such as `1h30m`; `undefined` if it is none.
export function seconds(text) {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (!/^(\d+(ms|[smhdwy]))+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce((sum, [, count, unit]) => sum + count * UNITS[unit], 0);
}

export function startQuery() {
  const parameters = new URLSearchParams(location.search);
  const given = (name) => parameters.get(`g0.${name}`) ?? "";
  for (const range of RANGES) at("range").append(element("option", {}, range));
  for (const name of Object.keys(REFRESH)) at("refresh").append(element("option", {}, name));
  const range = given("range_input");
  if (seconds(range) && !RANGES.includes(range)) at("range").append(element("option", {}, range));
  at("range").value = seconds(range) ? range : "15m";
  at("step").value = given("step_input");
  at("expression").value = given("expr") || FIRST;
  // Who comes without a wish watches; who follows a link looks at what is there.
  at("refresh").value = given("expr") ? "off" : "15s";
  const view = given("tab") === "explain" ? "explain" : ["1", "table"].includes(given("tab")) ? "table" : "graph";
  document.querySelector(`[name=view][value=${view}]`).checked = true;

  complete(at("expression"), at("suggestions"), () => run(true));
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run(true);
  });
  for (const id of ["range", "end", "step"]) at(id).addEventListener("change", () => run(true));
  for (const view of document.querySelectorAll("[name=view]")) view.addEventListener("change", () => run(true));
  at("refresh").addEventListener("change", schedule);
  at("format").addEventListener("click", format);
  run(false);
  schedule();
  return {
    shown(expression) {
      if (expression === undefined) return;
      at("expression").value = expression;
      run(true);
    },
  };
}

let timer;
function schedule() {
  clearInterval(timer);
  const pause = REFRESH[at("refresh").value];
  if (pause) timer = setInterval(() => document.hidden || at("end").value || run(false), pause * 1000);
}

async function format() {
  try {
    const { data } = await post("format_query", { query: at("expression").value });
    at("expression").value = data;
    at("expression").rows = Math.min(20, Math.max(2, data.split("\n").length));
    tell(at("fault"));
  } catch (why) {
    tell(at("fault"), why);
  }
}

let running;
async function run(asked) {
  const query = at("expression").value.trim();
  if (!query) return;
  running?.abort();
  const stop = (running = new AbortController());
  const view = document.querySelector("[name=view]:checked").value;
  const range = at("range").value;
  if (asked) remember(query, range, view);
  const end = at("end").value ? new Date(at("end").value).getTime() / 1000 : Date.now() / 1000;
  const began = performance.now();
  try {
    const answer = view === "table"
      ? await post("query", { query, time: end }, stop.signal)
      : await overRange(view === "graph" ? "query_range" : "query_range_explain", query, end, seconds(range), stop.signal);
    tell(at("fault"));
    note(answer);
    for (const [place, of] of [["graph", "graph"], ["legend", "graph"], ["table", "table"], ["explanation", "explain"]]) {
      at(place).hidden = view !== of;
    }
    const shown = view === "graph" ? showGraph(answer) : view === "table" ? showTable(answer.data) : explain(at("explanation"), answer.data);
    at("told").textContent = `${shown}, ${Math.round(performance.now() - began)} ms`;
  } catch (why) {
    if (why.name !== "AbortError") tell(at("fault"), why);
  }
}

function remember(query, range, view) {
  const parameters = new URLSearchParams({ "g0.expr": query, "g0.range_input": range, "g0.tab": view });
  if (at("step").value) parameters.set("g0.step_input", at("step").value);
  history.replaceState(null, "", `?${parameters}${location.hash}`);
}

async function overRange(path, query, end, range, signal) {
  // A point every four pixels is as much as one can see; no finer than a scrape.
  const points = Math.max(100, Math.floor(at("graph").clientWidth / 4) || 250);
  const step = seconds(at("step").value.trim()) || Math.max(5, Math.ceil(range / points));
  // Steps on whole multiples, so that the curve keeps its form from one look to the next.
  const last = Math.floor(end / step) * step;
  const answer = await post(path, { query, start: last - range, end: last, step }, signal);
  return { ...answer, start: last - range, end: last, step };
}

function note({ warnings = [], infos = [] }) {
  at("notes").replaceChildren(...[...warnings, ...infos].map((text) => element("li", {}, text)));
}

function showGraph({ data, start, end, step }) {
  return draw(at("graph"), at("legend"), data.result, { start, end, step });
}

function showTable({ resultType, result }) {
  const rows = resultType === "scalar" || resultType === "string"
    ? [element("tr", {}, element("td", {}, resultType), element("td", { class: "number" }, result[1]))]
    : result.slice(0, ROWS).map(row);
  const left = Array.isArray(result) && result.length > ROWS ? `, the first ${ROWS} shown` : "";
  at("table").replaceChildren(element("table", {}, ...rows));
  return resultType === "scalar" || resultType === "string" ? resultType : `${result.length} series${left}`;
}

function row({ metric, value, histogram, values = [], histograms = [] }) {
  const points = [...(value ? [value] : values), ...(histogram ? [histogram] : histograms)];
  const shown = points.map(([time, one]) => {
    const text = typeof one === "string" ? one : `count ${one.count}, sum ${one.sum}`;
    return element("div", { title: new Date(time * 1000).toISOString() }, value || histogram ? text : `${text} @ ${time}`);
  });
  return element("tr", {}, element("td", {}, element("code", {}, series(metric))), element("td", { class: "number" }, ...shown));
}
