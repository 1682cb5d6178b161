// What series there are: which metrics and labels have most, and the labels of one metric.

import { ask, element, series, tell } from "./api.js";

const at = (id) => document.getElementById(id);
const TOP = 20;
const SERIES = 10_000;
const SHOWN = 100;

export function startExplorer(show) {
  const look = () => overview(show);
  at("narrow").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  look();
  return { shown() {} };
}

async function overview(show) {
  try {
    const selector = at("selector").value.trim();
    const { data } = await ask("status/tsdb", { limit: TOP, "match[]": selector });
    tell(at("explore-fault"));
    // A querier of several tenants tells each by itself.
    const shown = Array.isArray(data) ? data : [data];
    at("head").textContent = shown.map((one) => headline(one)).filter(Boolean).join("; ");
    at("cardinality").replaceChildren(...shown.flatMap((one) => [
      list("Series by metric", one.seriesCountByMetricName, (name) => metric(name, show)),
      list("Values by label", one.labelValueCountByLabelName),
      list("Series by pair", one.seriesCountByLabelValuePair),
      list("Bytes by label", one.memoryInBytesByLabelName),
    ]));
  } catch (why) {
    tell(at("explore-fault"), why);
  }
}

function headline({ headStats, tenant }) {
  if (!headStats) return "";
  const chunks = headStats.chunkCount > 0 ? `, ${headStats.chunkCount} chunks` : "";
  return `${tenant ? `${tenant}: ` : ""}${headStats.numSeries} series${chunks}`;
}

function list(title, rows = [], open) {
  const most = Math.max(1, ...rows.map(({ value }) => Number(value)));
  const shown = rows.map(({ name, value }) => element("tr", {},
    element("td", {},
      open ? element("button", { onclick: () => open(name) }, name) : element("code", {}, name),
      element("span", { class: "bar", style: `width:${(100 * Number(value)) / most}%` })),
    element("td", { class: "number" }, String(value))));
  return element("section", {}, element("h2", {}, title), element("table", {}, ...shown));
}

// The labels of a metric with the number of their values, and some of its series.
async function metric(name, show) {
  const selector = `{__name__=${JSON.stringify(name)}}`;
  at("metric-name").textContent = name;
  try {
    const end = Date.now() / 1000;
    const { data } = await ask("series", { "match[]": selector, limit: SERIES, start: end - 3 * 3600, end });
    const values = new Map();
    for (const labels of data) {
      for (const [label, value] of Object.entries(labels)) {
        if (!values.has(label)) values.set(label, new Map());
        const counts = values.get(label);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
    const labels = [...values].filter(([label]) => label !== "__name__").sort((a, b) => b[1].size - a[1].size);
    const rows = labels.map(([label, counts]) => {
      const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5);
      return element("tr", {}, element("td", {}, element("code", {}, label)), element("td", { class: "number" }, String(counts.size)),
        element("td", {}, most.map(([value, count]) => `${value} (${count})`).join(", ")));
    });
    const some = data.slice(0, SHOWN).map((one) => element("li", {},
      element("button", { onclick: () => show("query", series(one)) }, series(one))));
    const head = element("tr", {}, element("th", {}, "label"), element("th", { class: "number" }, "values"), element("th", {}, "most frequent"));
    at("metric").replaceChildren(
      element("p", {}, `${data.length}${data.length === SERIES ? " or more" : ""} series in the last three hours. `,
        element("button", { onclick: () => show("query", series({ __name__: name })) }, "Graph")),
      element("table", {}, head, ...rows), element("ul", {}, ...some));
  } catch (why) {
    at("metric").replaceChildren(element("p", { class: "fault" }, why.message));
  }
}
