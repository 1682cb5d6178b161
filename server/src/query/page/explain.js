// Shows what a query took: selection by selection whom it asked, what came, what was read, and which replica counted.

import { element, series } from "./api.js";

// Shows an explanation; tells what was shown.
export function explain(place, data) {
  const totals = [
    ["time", `${data.executionTime}, of it ${duration(data.timings.queue)} waiting`],
    ["samples read", data.samples.toLocaleString()],
    ["most samples in memory", data.peakSamples.toLocaleString()],
    ["chunks", `${data.chunks.toLocaleString()}, ${bytes(data.bytes)}`],
    ["missing", data.missing.length ? data.missing.join("\n") : "nothing"],
  ];
  place.replaceChildren(table([], totals.map(([name, text]) => [name, text])), ...data.selections.flatMap(selection));
  place.dataset.selections = String(data.selections.length);
  return `${data.selections.length} ${data.selections.length === 1 ? "selection" : "selections"}`;
}

function selection(found) {
  const kinds = Object.entries(found.chunksByResolution).map(([name, count]) => `${count.toLocaleString()} ${name}`);
  const told = [
    `${found.function ? `for ${found.function}, ` : ""}${moment(found.start * 1000)} to ${moment(found.end * 1000)}`,
    `${found.series.toLocaleString()} series, ${found.chunks.toLocaleString()} chunks (${kinds.join(", ") || "none"}), ${bytes(found.bytes)}, ${duration(found.seconds)}`,
  ];
  const heads = ["endpoint", "kind", "series", "chunks", "bytes", "first message", "all", "blocks"];
  return [
    element("h2", {}, element("code", {}, `{${found.matchers.join(", ")}}`)),
    ...told.map((text) => element("p", { class: "told" }, text)),
    table(heads, found.endpoints.map(endpoint)),
    more(found.endpointsNotShown, "endpoints"),
    ...replicas(found.replicas),
  ];
}

function endpoint(one) {
  const name = element("span", {}, element("code", {}, one.address), ...(one.warnings ?? []).map((text) => element("div", { class: "down" }, text)));
  if (!one.asked) return [name, one.component, element("span", { class: "left-out" }, `not asked: ${one.leftOut}`), "", "", "", "", ""];
  return [name, one.component, one.series.toLocaleString(), one.chunks.toLocaleString(), bytes(one.bytes),
    one.firstMessageSeconds === null ? "" : duration(one.firstMessageSeconds), duration(one.seconds), blocks(one)];
}

function blocks({ blocks: told, blocksNotShown }) {
  if (!Array.isArray(told)) return String(told);
  const rows = told.map(({ id, resolution, minTime, maxTime }) => element("div", {}, element("code", {}, id),
    resolution ? ` ${resolution}, ${moment(minTime)} to ${moment(maxTime)}` : ""));
  return element("details", {}, element("summary", {}, `${told.length + (blocksNotShown ?? 0)} blocks`), ...rows);
}

function replicas(told) {
  if (!told) return [];
  if (told.notTold) return [element("p", { class: "told" }, `Which replica counted is not told: ${told.notTold}.`)];
  const rows = told.sets.map(({ labels, series: count, won, samples }) =>
    [element("code", {}, series(labels)), count.toLocaleString(), won.toLocaleString(), samples.toLocaleString()]);
  return [
    element("p", { class: "told" }, `${told.seriesWithSeveral.toLocaleString()} series have several replicas, which took turns ${told.switches.toLocaleString()} times`),
    table(["replica", "series", "most samples of", "samples"], rows),
    more(told.setsNotShown, "replicas"),
  ];
}

function more(count, what) {
  return element("p", { class: "told", hidden: !count }, `and ${count} ${what} more`);
}

function table(heads, rows) {
  const head = heads.length ? [element("tr", {}, ...heads.map((text) => element("th", {}, text)))] : [];
  return element("table", {}, ...head, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)))));
}

function moment(ms) {
  const shown = new Date(ms);
  return ms === null || Number.isNaN(shown.getTime()) ? "open" : shown.toISOString().replace(".000Z", "Z");
}

function duration(seconds) {
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${at ? count.toFixed(1) : count} ${units[at]}`;
}
