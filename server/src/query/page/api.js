// The HTTP API as promises. Addresses are relative, so the page works below any prefix.

// The body of an answer: { data, warnings, infos }. A refusal is thrown with its text.
export async function ask(path, parameters = {}, signal) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "") body.append(name, one);
    }
  }
  const response = await fetch(`api/v1/${path}?${body}`, { signal, headers: { Accept: "application/json" } });
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Error(`${response.status} ${response.statusText}`.trim());
  }
  if (answer.status !== "success") throw new Error(answer.error || `${response.status}`);
  return answer;
}

// As `ask`, by POST: for expressions, which may be long.
export async function post(path, parameters, signal) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") body.append(name, value);
  }
  const response = await fetch(`api/v1/${path}`, { method: "POST", body, signal });
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Error(`${response.status} ${response.statusText}`.trim());
  }
  if (answer.status !== "success") throw new Error(answer.error || `${response.status}`);
  return answer;
}

// An element with text or children; text can never become markup.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

// Shows a fault in its place, or nothing if there is none.
export function tell(place, why) {
  place.textContent = why ? why.message || String(why) : "";
  place.hidden = !why;
}

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;

// A set of labels as a selector.
export function series(labels) {
  const { __name__: name, ...others } = labels;
  const quote = (text) => JSON.stringify(text);
  const pairs = Object.keys(others).sort().map((key) => `${PLAIN.test(key) ? key : quote(key)}=${quote(others[key])}`);
  if (name === undefined) return `{${pairs.join(", ")}}`;
  if (!/^[A-Za-z_:][A-Za-z0-9_:]*$/.test(name)) return `{${[quote(name), ...pairs].join(", ")}}`;
  return pairs.length ? `${name}{${pairs.join(", ")}}` : name;
}
