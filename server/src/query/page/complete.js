// Proposes what may stand at the cursor: metrics, functions and words; labels in braces and lists; values in quotes.

import { ask, element } from "./api.js";

const MOST = 200;
// How long an answer about names is good for.
const KEPT_MS = 60_000;

const kept = new Map();
function remembered(path, parameters) {
  const key = `${path}?${new URLSearchParams(parameters)}`;
  const known = kept.get(key);
  if (known && Date.now() - known.since < KEPT_MS) return known.answer;
  const answer = ask(path, parameters).then(({ data }) => data ?? []).catch(() => []);
  kept.set(key, { since: Date.now(), answer });
  return answer;
}

let words;
function languageWords() {
  words ??= fetch("page/words.json").then((response) => response.json()).catch(() => []);
  return words;
}

// What is being written at the end of `text`: its kind, the part that is there already, and what it belongs to.
export function context(text) {
  let braces = -1;
  let quote = "";
  let quoteAt = 0;
  const parens = [];
  for (let index = 0; index < text.length; index += 1) {
    const sign = text[index];
    if (quote) {
      if (sign === "\\" && quote !== "`") index += 1;
      else if (sign === quote) quote = "";
    } else if (sign === '"' || sign === "'" || sign === "`") {
      quote = sign;
      quoteAt = index;
    } else if (sign === "#") {
      const end = text.indexOf("\n", index);
      if (end < 0) return { kind: "none" };
      index = end;
    } else if (sign === "{") braces = index;
    else if (sign === "}") braces = -1;
    else if (sign === "(") parens.push(index);
    else if (sign === ")") parens.pop();
  }
  if (quote) {
    const label = braces < 0 ? undefined : /([A-Za-z_]\w*|"[^"]*")\s*(=|!=|=~|!~)\s*$/.exec(text.slice(0, quoteAt));
    if (!label) return { kind: "none" };
    return { kind: "value", label: label[1].replaceAll('"', ""), part: text.slice(quoteAt + 1), metric: metricBefore(text, braces) };
  }
  const part = /[A-Za-z_:][\w:]*$/.exec(text)?.[0] ?? "";
  const before = text.slice(0, text.length - part.length);
  if (braces >= 0) {
    return /[{,]\s*$/.test(before) ? { kind: "label", part, metric: metricBefore(text, braces) } : { kind: "none" };
  }
  const open = parens.at(-1);
  if (open !== undefined && /\b(by|without|on|ignoring|group_left|group_right)\s*$/i.test(text.slice(0, open))) {
    return { kind: "label", part };
  }
  return { kind: "word", part };
}

function metricBefore(text, braces) {
  return /[A-Za-z_:][\w:]*$/.exec(text.slice(0, braces).trimEnd())?.[0];
}

async function proposals({ kind, part, label, metric }) {
  const match = metric ? { "match[]": `{__name__=${JSON.stringify(metric)}}` } : {};
  if (kind === "label") {
    const names = await remembered("labels", match);
    return rank(names.filter((name) => name !== "__name__").map((text) => ({ text, what: "label" })), part);
  }
  if (kind === "value") {
    const values = await remembered(`label/${encodeURIComponent(label)}/values`, match);
    return rank(values.map((text) => ({ text, what: "value" })), part);
  }
  if (kind !== "word" || !part) return [];
  const [names, others] = await Promise.all([remembered("label/__name__/values", {}), languageWords()]);
  return rank([...names.map((text) => ({ text, what: "metric" })), ...others], part);
}

// What begins with the part first, then what holds it, then what holds its letters in order.
export function rank(found, part) {
  const wanted = part.toLowerCase();
  const letters = new RegExp([...wanted].map((letter) => letter.replace(/[^\w]/g, "\\$&")).join(".*"));
  const score = ({ text }) => {
    const lower = text.toLowerCase();
    if (lower.startsWith(wanted)) return 0;
    if (lower.includes(wanted)) return 1;
    return letters.test(lower) ? 2 : 3;
  };
  return found.map((one) => [score(one), one]).filter(([rank]) => rank < 3)
    .sort((a, b) => a[0] - b[0] || (a[1].text < b[1].text ? -1 : 1)).slice(0, MOST).map(([, one]) => one);
}

// Ties the list of proposals to the text; `submit` is called on Enter without a list.
export function complete(area, list, submit) {
  let shown = [];
  let chosen = 0;
  let now = { kind: "none" };
  let asked = 0;

  const hide = () => {
    shown = [];
    list.hidden = true;
  };
  const mark = (next) => {
    chosen = (next + shown.length) % shown.length;
    [...list.children].forEach((item, index) => item.classList.toggle("chosen", index === chosen));
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const take = (index) => {
    const { text, what } = shown[index];
    const cursor = area.selectionStart;
    const value = now.kind === "value" ? JSON.stringify(text).slice(1, -1) : text;
    const behind = area.value.slice(cursor);
    const tail = what === "function" && !behind.startsWith("(") ? "(" : "";
    area.setRangeText(value + tail, cursor - now.part.length, cursor, "end");
    hide();
    area.focus();
  };
  const look = async () => {
    const round = (asked += 1);
    now = context(area.value.slice(0, area.selectionStart));
    const found = await proposals(now);
    if (round !== asked) return;
    const isDone = found.length === 1 && found[0].text === now.part;
    if (!found.length || isDone || document.activeElement !== area) return hide();
    shown = found;
    list.replaceChildren(...found.map(({ text, what, takes }, index) => element("li", {
      onmousedown: (event) => {
        event.preventDefault();
        take(index);
      },
    }, element("span", {}, text), element("small", {}, takes === undefined ? what : `(${takes})`))));
    list.hidden = false;
    mark(0);
  };
  area.addEventListener("input", look);
  area.addEventListener("blur", hide);
  area.addEventListener("keydown", (event) => {
    const open = shown.length > 0;
    if (open && event.key === "ArrowDown") mark(chosen + 1);
    else if (open && event.key === "ArrowUp") mark(chosen - 1);
    else if (open && (event.key === "Tab" || event.key === "Enter")) take(chosen);
    else if (open && event.key === "Escape") hide();
    else if (event.key === "Enter" && !event.shiftKey) submit();
    else if (event.key === " " && event.ctrlKey) look();
    else return;
    event.preventDefault();
  });
}
