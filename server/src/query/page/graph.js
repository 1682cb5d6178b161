// Draws series with uPlot, and a legend whose rows switch them.

import { element, series } from "./api.js";

const COLORS = ["#3b7dd8", "#d9782d", "#3a9a5b", "#c8414b", "#8d5fc2", "#8a6d3b", "#d25fa8", "#7a7a7a", "#a8a22e", "#2aa7b8"];
// More curves than this nobody can tell apart.
const CURVES = 100;

let chart;
let observer;

// Shows the result of a range query; tells what was shown.
export function draw(place, legend, result, { start, end, step }) {
  const shown = result.slice(0, CURVES);
  const count = Math.round((end - start) / step) + 1;
  const times = Array.from({ length: count }, (_, index) => start + index * step);
  const columns = shown.map(({ values = [], histograms = [] }) => column(count, start, step, values, histograms));
  const points = columns.reduce((sum, values) => sum + values.filter((value) => value !== null).length, 0);
  const off = new Set([...legend.querySelectorAll("tr.off")].map((row) => row.dataset.series));
  chart?.destroy();
  observer?.disconnect();
  place.replaceChildren();
  place.dataset.series = String(shown.length);
  place.dataset.points = String(points);
  const ink = getComputedStyle(document.body).color;
  const axis = { stroke: ink, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8886", width: 1 } };
  const curves = shown.map(({ metric }, index) => ({
    label: series(metric),
    stroke: COLORS[index % COLORS.length],
    width: 1.5,
    show: !off.has(series(metric)),
    // A point between two gaps is no line; few points are shown as such.
    points: { show: points <= 40 * Math.max(1, shown.length), size: 4 },
    spanGaps: false,
  }));
  chart = new uPlot({
    width: place.clientWidth || 800,
    height: 360,
    legend: { show: false },
    cursor: { drag: { x: true, y: false } },
    scales: { x: { time: true, min: start, max: end } },
    series: [{}, ...curves],
    axes: [axis, { ...axis, size: 70, values: (_, ticks) => ticks.map(short) }],
    hooks: { setCursor: [(plot) => values(plot, legend, columns)] },
  }, [times, ...columns], place);
  observer = new ResizeObserver(() => {
    if (place.clientWidth && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: 360 });
  });
  observer.observe(place);
  list(legend, shown, columns);
  const left = result.length > CURVES ? `, the first ${CURVES} drawn` : "";
  return `${result.length} series${left}, ${points} points, step ${step} s`;
}

// Values of one series at every step; a histogram is shown by its average.
function column(count, start, step, floats, histograms) {
  const column = new Array(count).fill(null);
  const put = (time, value) => {
    const index = Math.round((time - start) / step);
    if (index >= 0 && index < count && Number.isFinite(value)) column[index] = value;
  };
  for (const [time, value] of floats) put(time, Number(value));
  for (const [time, { sum, count: observed }] of histograms) put(time, Number(sum) / Number(observed));
  return column;
}

function list(legend, shown, columns) {
  const rows = shown.map(({ metric }, index) => {
    const name = series(metric);
    const curve = chart.series[index + 1];
    const swatch = element("span", { class: "swatch", style: `background:${COLORS[index % COLORS.length]}` });
    const last = columns[index].findLast((value) => value !== null);
    return element("tr", {
      "data-series": name,
      class: curve.show ? "" : "off",
      title: "Click: on or off. Double click: this one alone.",
      onclick: (event) => toggle(event.currentTarget, index),
      ondblclick: (event) => alone(event.currentTarget),
    }, element("td", {}, swatch), element("td", {}, element("code", {}, name)),
    element("td", { class: "number value" }, last === undefined ? "" : short(last)));
  });
  legend.replaceChildren(element("table", {}, ...rows));
}

function toggle(row, index) {
  row.classList.toggle("off");
  chart.setSeries(index + 1, { show: !row.classList.contains("off") });
}

function alone(row) {
  [...row.parentElement.children].forEach((other, index) => {
    other.classList.toggle("off", other !== row);
    chart.setSeries(index + 1, { show: other === row });
  });
}

// The values under the cursor, in the legend.
function values(plot, legend, columns) {
  const index = plot.cursor.idx;
  const cells = legend.querySelectorAll("td.value");
  columns.forEach((column, curve) => {
    const value = index === null || index === undefined ? column.findLast((one) => one !== null) : column[index];
    if (cells[curve]) cells[curve].textContent = value === null || value === undefined ? "" : short(value);
  });
}

const PREFIXES = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

// A number with four digits and a prefix.
function short(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e21)) return value.toExponential(2);
  const [by, prefix] = PREFIXES.find(([least]) => size >= least) ?? [1, ""];
  return `${Number((value / by).toPrecision(4))}${prefix}`;
}
