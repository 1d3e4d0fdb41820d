// Elements of the page, made without ever reading text as HTML.
export function element(name, { text, class: kind, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8B6F00", "#7A5CC2", "#C2453D", "#2E7D5B", "#B5578F", "#5C7A99", "#A3B01E", "#D55E00", "#999999"];

export function number(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? format(value, Number.isInteger(value) ? 0 : 1) : String(value);
}

// Numbers of one column have the same decimals: none, or one if any of them has a fraction.
export function decimals(values) {
  return values.some((each) => typeof each === "number" && !Number.isInteger(each)) ? 1 : 0;
}

export function format(value, digits) {
  if (typeof value !== "number") return number(value);
  if (value && Math.abs(value) < 0.05) return value > 0 ? "<0.1" : "0";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
