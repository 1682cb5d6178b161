// Which tab is shown, and what the address says: `g0.expr`, `g0.range_input`, `g0.tab` as Prometheus has them, so that its links work here.

import { startQuery } from "./query.js";
import { startExplorer } from "./explore.js";
import { startStores } from "./stores.js";

const starters = { query: startQuery, explore: startExplorer, stores: startStores };
const started = {};

export function show(tab, ...wanted) {
  for (const button of document.querySelectorAll("#tabs button")) {
    button.classList.toggle("chosen", button.dataset.tab === tab);
  }
  for (const main of document.querySelectorAll("main")) main.classList.toggle("chosen", main.id === tab);
  started[tab] ??= starters[tab](show);
  started[tab].shown?.(...wanted);
  if (location.hash.slice(1) !== tab && (tab !== "query" || location.hash)) {
    history.replaceState(null, "", `#${tab}`);
  }
}

for (const button of document.querySelectorAll("#tabs button")) {
  button.addEventListener("click", () => show(button.dataset.tab));
}
const wanted = location.hash.slice(1);
show(wanted in starters ? wanted : "query");
