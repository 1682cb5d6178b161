// Who is asked: every endpoint with its state, its labels and its time.

import { ask, element, series, tell } from "./api.js";

const at = (id) => document.getElementById(id);
// Beyond these times an endpoint knows no bound.
const OPEN_MS = 9e15;

export function startStores() {
  return { shown: look };
}

async function look() {
  try {
    const { data } = await ask("stores");
    tell(at("stores-fault"));
    const kinds = Object.entries(data ?? {}).filter(([, stores]) => Array.isArray(stores) && stores.length);
    at("store-list").replaceChildren(...kinds.flatMap(([kind, stores]) => [element("h2", {}, kind), table(stores)]));
    if (!kinds.length) at("store-list").textContent = "No store is asked.";
  } catch (why) {
    tell(at("stores-fault"), why);
  }
}

function table(stores) {
  const heads = ["endpoint", "state", "labels", "from", "to", "last seen"].map((text) => element("th", {}, text));
  return element("table", {}, element("tr", {}, ...heads), ...stores.map((store) => {
    const fault = store.lastError && (store.lastError.message ?? store.lastError);
    const state = fault ? element("td", { class: "down" }, String(fault)) : element("td", { class: "up" }, "up");
    const labels = (store.labelSets ?? []).map((set) => element("div", {}, element("code", {}, series(set))));
    return element("tr", {}, element("td", {}, element("code", {}, store.name ?? "")), state, element("td", {}, ...labels),
      element("td", {}, time(store.minTime)), element("td", {}, time(store.maxTime)), element("td", {}, seen(store.lastCheck)));
  }));
}

function time(ms) {
  if (ms === undefined || Math.abs(ms) >= OPEN_MS) return "open";
  const shown = new Date(ms);
  return Number.isNaN(shown.getTime()) ? "open" : shown.toISOString().replace(".000", "");
}

function seen(text) {
  const shown = new Date(text);
  return !text || Number.isNaN(shown.getTime()) || shown.getTime() <= 0 ? "" : shown.toISOString();
}
