// Fetches a dashboard and the drawings of its widgets, and places them on the grid of 24 columns.
import { draw } from "./drawings.js";
import { element } from "./elements.js";
import { markdown } from "./markdown.js";

const HOURS = { "1h": 1, "3h": 3, "12h": 12, "1d": 24, "3d": 72, "1w": 168 };
const state = { name: decodeURIComponent(location.pathname.split("/")[2] || ""), hours: 3, values: {}, cards: [], run: 0, busy: false };

async function get(path) {
  const answer = await fetch(path);
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.message);
  return document;
}

async function start() {
  const given = new URLSearchParams(location.search);
  if (!state.name) return list();
  document.title = state.name;
  document.getElementById("name").textContent = state.name;
  for (const [id, value] of given) if (id !== "hours") state.values[id] = value;
  const found = await describe();
  state.hours = Number(given.get("hours")) || hoursOf(found.start);
  for (const [label, hours] of Object.entries(HOURS)) {
    const button = element("button", { type: "button", text: label, "aria-pressed": String(hours === state.hours) });
    button.addEventListener("click", () => choose(hours));
    document.getElementById("times").append(button);
  }
  document.getElementById("problems").append(...found.problems.map((text) => element("div", { class: "problem", text })));
  const main = document.getElementById("widgets");
  state.cards = found.widgets.map((place) => {
    const card = element("section", {});
    card.style.gridColumn = `${place.x + 1} / span ${place.width}`;
    card.style.gridRow = `${place.y + 1} / span ${place.height}`;
    main.append(card);
    return card;
  });
  watchSizes();
  await refresh();
  setInterval(tick, 1000);
}

// A card is drawn again when its size changes, because a chart has the size that it was made with.
function watchSizes() {
  const observer = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const size = `${Math.round(contentRect.width)} × ${Math.round(contentRect.height)}`;
      if (target.last && target.size !== size) show(target, ...target.last);
      target.size = size;
    }
  });
  state.cards.forEach((card) => observer.observe(card));
}

async function describe() {
  const found = await get(`/api/dashboards/${encodeURIComponent(state.name)}?${new URLSearchParams(state.values)}`);
  const place = document.getElementById("variables");
  place.replaceChildren();
  for (const variable of found.variables) {
    state.values[variable.id] = variable.value;
    const control = element(variable.typed ? "input" : "select", { id: `variable-${variable.id}` });
    const known = variable.typed || variable.options.some((option) => option.value === variable.value);
    for (const option of known ? variable.options : [{ value: variable.value, label: variable.value }, ...variable.options]) {
      control.append(element("option", { value: option.value, text: option.label }));
    }
    control.value = variable.value;
    control.addEventListener("change", () => {
      state.values[variable.id] = control.value;
      remember();
      refresh({ stale: true });
    });
    place.append(element("label", { text: `${variable.label} ` }, [control]));
  }
  return found;
}

function hoursOf(start) {
  const found = /^-P(?:T(\d+)([HM])|(\d+)([DW]))$/.exec(start) || [];
  if (found[2]) return Math.max(1, Number(found[1]) / (found[2] === "M" ? 60 : 1));
  return found[4] ? Number(found[3]) * (found[4] === "W" ? 168 : 24) : 3;
}

function choose(hours) {
  state.hours = hours;
  for (const button of document.querySelectorAll("#times button")) {
    button.setAttribute("aria-pressed", String(HOURS[button.textContent] === hours));
  }
  remember();
  refresh({ stale: true });
}

const choices = () => new URLSearchParams({ ...state.values, hours: state.hours });

function remember() {
  history.replaceState(null, "", `?${choices()}`);
}

let since = Date.now();
function tick() {
  const seconds = Number(document.getElementById("refresh").value);
  if (seconds && !state.busy && !document.hidden && Date.now() - since > seconds * 1000) refresh();
}

async function refresh({ stale = false } = {}) {
  const run = (state.run += 1);
  const drawn = String(choices());
  state.busy = true;
  if (stale) state.cards.forEach((card) => card.classList.add("stale"));
  const to = Math.floor(Date.now() / 60000) * 60 + 60;
  const range = [to - state.hours * 3600, to];
  const query = new URLSearchParams({ ...state.values, from: range[0], to });
  let next = 0;
  let done = 0;
  say(`loading 0 of ${state.cards.length} …`);
  const worker = async () => {
    while (next < state.cards.length && run === state.run) {
      const index = next++;
      const path = `/api/dashboards/${encodeURIComponent(state.name)}/widgets/${index}?${query}`;
      const drawing = await get(path).catch((error) => ({ kind: "error", title: "", reason: error.message }));
      if (run !== state.run) return;
      show(state.cards[index], drawing, range);
      say(`loading ${(done += 1)} of ${state.cards.length} …`);
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  if (run !== state.run) return; // a later refresh has started and draws everything
  state.busy = false;
  since = Date.now(); // the next refresh counts from the end of this one, which can take longer than the interval
  say(`${new Date().toISOString().slice(11, 19)} UTC`);
  document.body.dataset.drawn = drawn;
}

function say(text) {
  document.getElementById("status").textContent = text;
}

function show(card, drawing, range) {
  card.last = [drawing, range];
  card.classList.remove("stale", "beside");
  card.classList.toggle("text", drawing.kind === "text");
  const problems = (drawing.problems || []).map((each) => element("div", { class: "problem", text: each }));
  if (drawing.kind === "text") {
    card.replaceChildren(...problems, ...markdown(drawing.markdown));
    return;
  }
  const title = element("h2", { text: drawing.title || "" });
  if (drawing.reason) problems.push(element("div", { class: "problem", text: drawing.reason }));
  card.replaceChildren(title, ...problems);
  if (!drawing.reason) draw(card, drawing, range);
}

async function list() {
  const names = await get("/api/dashboards");
  document.getElementById("widgets").append(
    ...names.map((name) => {
      const link = element("a", { href: `/dashboards/${encodeURIComponent(name)}`, text: name });
      const card = element("section", {}, [link]);
      card.style.gridColumn = "span 8";
      return card;
    }),
  );
}

start().catch((error) => {
  document.getElementById("widgets").replaceChildren(element("section", { class: "error", text: error.message }));
});
