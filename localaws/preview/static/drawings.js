// One widget's drawing: lines by uPlot, everything else as plain elements.
import { decimals, element, format, number, PALETTE, shape } from "./elements.js";

export function draw(card, drawing, range) {
  const place = element("div", { class: `drawing ${drawing.kind}` });
  card.append(place);
  if (drawing.kind === "rows") return { pie: () => pie(place, card, slices(drawing)), bar: () => rowBars(place, drawing), table: () => rows(place, drawing) }[drawing.view]();
  if (drawing.kind === "alarms") return alarms(place, drawing);
  const taken = new Set([...drawing.series, ...drawing.annotations.flat()].map((each) => each.color));
  const free = PALETTE.filter((color) => !taken.has(color));
  drawing.series.filter((each) => !each.color).forEach((each, index) => (each.color = free[index % free.length]));
  const filled = drawing.series.filter((each) => each.values.length);
  if (!filled.length) return place.append(element("div", { class: "nothing", text: "no data" }));
  const views = { timeSeries: lines, table: summary, gauge, singleValue: values, bar: bars, pie: pieOfSeries };
  views[drawing.view](place, drawing, filled, range, card);
}

const last = (series) => series.values.at(-1);

function rows(place, { columns, rows: found }) {
  if (!found.length) return place.append(element("div", { class: "nothing", text: "no data" }));
  const numeric = columns.map((_, at) => found.some((row) => typeof row[at] === "number"));
  const head = columns.map((name, at) => element("th", { text: name, class: numeric[at] ? "number" : "" }));
  const digits = columns.map((_, at) => decimals(found.map((row) => row[at])));
  const cells = (row) => row.map((cell, at) => element("td", { text: format(cell, digits[at]), class: numeric[at] ? "number" : "" }));
  place.append(
    element("table", {}, [
      element("thead", {}, [element("tr", {}, head)]),
      element("tbody", {}, found.map((row) => element("tr", {}, cells(row)))),
    ]),
  );
}

function alarms(place, { alarms: found }) {
  rows(place, { columns: ["alarm", "state", "reason"], rows: found.map((each) => [each.name, each.state, each.reason]) });
}

const SUMMARIES = {
  MAX: (all) => Math.max(...all),
  MIN: (all) => Math.min(...all),
  SUM: (all) => all.reduce((sum, each) => sum + each, 0),
  AVG: (all) => SUMMARIES.SUM(all) / all.length,
};
const NAMES = { MAX: "max", MIN: "min", SUM: "sum", AVG: "average" };

function summary(place, drawing, filled) {
  const marks = drawing.annotations.map(([mark]) => mark);
  const over = (value) => marks.some(({ value: limit, fill }) => (fill === "above" && value >= limit) || (fill === "below" && value <= limit));
  const found = filled.map((each) => [each.label, ...drawing.summary.map((name) => SUMMARIES[name](each.values))]);
  rows(place, { columns: ["", ...drawing.summary.map((name) => NAMES[name])], rows: found });
  place.querySelectorAll("tbody tr").forEach((row, at) => {
    found[at].forEach((value, column) => row.children[column].classList.toggle("over", column > 0 && over(value)));
  });
}

function values(place, drawing, filled) {
  place.append(
    element("div", { class: "values" }, filled.map((each) => {
      return element("div", {}, [element("strong", { text: last(each).toLocaleString("en-US") }), swatch(each.color), document.createTextNode(each.label)]);
    })),
  );
}

const bars = (place, drawing, filled) =>
  barsOf(place, filled.map((each) => ({ label: each.label, value: last(each), color: each.color })), drawing.left.max);

const rowBars = (place, drawing) => barsOf(place, slices(drawing));

function barsOf(place, found, highest = 0) {
  if (!found.length) return place.append(element("div", { class: "nothing", text: "no data" }));
  const most = Math.max(...found.map((each) => each.value), highest) || 1;
  place.append(
    element("div", { class: "bars" }, found.map((each) => {
      const bar = element("i", {});
      bar.style.width = `${(100 * each.value) / most}%`;
      bar.style.background = each.color;
      return element("div", {}, [bar, document.createTextNode(`${each.label} ${number(each.value)}`)]);
    })),
  );
}

function point(share, radius) {
  const angle = Math.PI * (1 - Math.min(1, Math.max(0, share)));
  return [100 + radius * Math.cos(angle), 100 - radius * Math.sin(angle)];
}

function arc(share, radius, attributes) {
  const [x, y] = point(share, radius);
  return shape("path", { d: `M ${100 - radius} 100 A ${radius} ${radius} 0 0 1 ${x} ${y}`, fill: "none", ...attributes });
}

function gauge(place, drawing, filled) {
  const { min = 0, max = 100 } = drawing.left;
  const value = last(filled[0]);
  const drawn = shape("svg", { viewBox: "0 0 200 118", role: "img", "aria-label": `${filled[0].label} ${number(value)}` });
  drawn.append(arc(1, 80, { stroke: "#8885", "stroke-width": 18 }));
  drawn.append(arc((value - min) / (max - min), 80, { stroke: filled[0].color, "stroke-width": 18 }));
  for (const each of drawing.annotations.flat()) {
    const share = (each.value - min) / (max - min);
    const [[x1, y1], [x2, y2]] = [point(share, 68), point(share, 94)];
    drawn.append(shape("line", { x1, y1, x2, y2, stroke: each.color || "#D55E00", "stroke-width": 3 }));
  }
  drawn.append(shape("text", { x: 100, y: 95, "text-anchor": "middle", class: "big" }, number(value)));
  drawn.append(shape("text", { x: 100, y: 114, "text-anchor": "middle" }, filled[0].label));
  place.append(drawn);
}

const slices = ({ columns, rows: found }) => found.map((row, at) => ({
  label: row.length > 1 ? row.slice(0, -1).map((cell) => cell ?? "–").join(" ") : columns[0],
  value: Number(row.at(-1)) || 0,
  color: PALETTE[at % PALETTE.length],
}));

const pieOfSeries = (place, drawing, filled, range, card) =>
  pie(place, card, filled.map((each) => ({ label: each.label, value: last(each), color: each.color })));

function pie(place, card, found) {
  const sum = found.reduce((total, each) => total + each.value, 0);
  if (!sum) return place.append(element("div", { class: "nothing", text: "no data" }));
  const drawn = shape("svg", { viewBox: "0 0 120 120", role: "img", "aria-label": "shares" });
  let begin = 0;
  for (const each of found) {
    const length = (each.value / sum) * 2 * Math.PI * 40;
    drawn.append(shape("circle", {
      cx: 60, cy: 60, r: 40, fill: "none", stroke: each.color, "stroke-width": 24,
      "stroke-dasharray": `${length} 1000`, "stroke-dashoffset": -begin, transform: "rotate(-90 60 60)",
    }));
    begin += length;
  }
  place.append(drawn);
  legend(card, found.map((each) => ({ ...each, label: `${each.label} ${number(each.value)}` })));
}

function legend(card, found) {
  card.append(element("div", { class: "legend" }, found.map((each) => element("span", { title: each.label }, [swatch(each.color), document.createTextNode(each.label)]))));
}

function swatch(color) {
  const mark = element("i", { class: "swatch" });
  mark.style.background = color;
  return mark;
}

// ---------------------------------------------------------------- lines

function lines(place, drawing, filled, range, card) {
  const times = [...new Set(filled.flatMap((each) => [...each.times, ...gaps(each)]))].sort((a, b) => a - b);
  const columns = filled.map((each) => {
    const at = new Map(each.times.map((time, index) => [time, each.values[index]]));
    return times.map((time) => at.get(time) ?? null);
  });
  const stacked = drawing.stacked ? stack(columns) : columns;
  const right = filled.some((each) => each.axis === "right");
  card.classList.toggle("beside", drawing.legend === "right");
  if (drawing.legend !== "hidden") legend(card, filled);
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.getPropertyValue("--soft"), grid: { stroke: style.getPropertyValue("--line"), width: 0.5 }, font: "11px sans-serif" };
  const scale = (side) => ({ range: (_, low, high) => bounds(side, low, high, side === drawing.left ? drawing.annotations : []) });
  const named = ({ label }) => (label ? { label, labelSize: 16, labelGap: 0, labelFont: "11px sans-serif" } : {});
  const short = (_, splits) => splits.map((each) => (Math.abs(each) >= 1e6 ? `${each / 1e6}M` : Math.abs(each) >= 1e4 ? `${each / 1e3}K` : number(each)));
  const chart = new uPlot({
    width: place.clientWidth, height: Math.max(60, place.clientHeight), padding: [null, right ? null : margin(drawing.annotations), null, null],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { time: true, range }, left: scale(drawing.left), right: scale(drawing.right) },
    axes: [{ ...axis, space: days(range[0], range[1]) ? 100 : 56, values: (_, splits) => splits.map(clock) }, { ...axis, ...named(drawing.left), scale: "left", size: 50, values: short }, { ...axis, ...named(drawing.right), scale: "right", side: 1, show: right, grid: { show: false }, values: short }],
    series: [{}, ...filled.map((each) => ({
      label: each.label, scale: each.axis, stroke: each.color, width: 1.6, spanGaps: false,
      fill: drawing.stacked ? `${each.color}55` : undefined,
      points: { show: each.values.length < 2, size: 4, fill: each.color },
    }))],
    cursor: { drag: { x: false, y: false } },
    plugins: [annotations(drawing.annotations), moments(drawing.moments), tip(filled, columns)],
  }, [times.map((time) => time / 1000), ...stacked], place);
  place.chart = chart;
}

// A line ends where its next value is missing. One rule for all graphs: AWS's pages do not say what the console does.
function gaps({ times, period }) {
  return times.slice(0, -1).filter((time, at) => times[at + 1] - time > period * 1000).map((time) => time + period * 1000);
}

// Labels of marks stand beside the graph, where they cover no line, and half of the last time has room there.
const margin = (marks) => Math.max(18, ...marks.map(([{ label }]) => 7 * (label || "").length + 34));

const days = (first, last) => last - first > 86_400;

function clock(seconds, at, all) {
  const text = new Date(seconds * 1000).toISOString();
  return days(all[0], all.at(-1)) ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

function bounds({ min, max }, low, high, marks) {
  const highest = max ?? Math.max(high ?? 0, ...marks.flat().map((each) => each.value)) * 1.05;
  const lowest = min ?? Math.min(low ?? 0, 0);
  return [lowest, highest > lowest ? highest : lowest + 1];
}

function stack(columns) {
  const sums = columns[0].map(() => 0);
  return columns.map((column) => column.map((value, at) => (sums[at] += value ?? 0)));
}

// A mark is one line or, as a band, two; what lies beside a line or between the two may be filled.
function annotations(marks) {
  const drawMarks = (chart) => {
    const { bbox } = chart;
    for (const [mark, other] of marks) {
      const at = (each) => Math.round(chart.valToPos(each.value, mark.yAxis || "left", true));
      const places = [mark, other].filter(Boolean).map(at);
      const [top, bottom] = [bbox.top, bbox.top + bbox.height];
      const filled = { above: [top, places[0]], below: [places[0], bottom], between: places }[mark.fill || (other && "between")];
      markOf(chart, mark, places.map((y) => [bbox.left, y, bbox.left + bbox.width, y]), filled && [bbox.left, filled[0], bbox.width, filled[1] - filled[0]]);
    }
  };
  return { hooks: { draw: drawMarks } };
}

function moments(marks) {
  const drawMarks = (chart) => {
    const { bbox } = chart;
    for (const [mark, other] of marks) {
      const at = (each) => Math.round(chart.valToPos(Date.parse(each.value) / 1000, "x", true));
      const places = [mark, other].filter(Boolean).map(at);
      const [left, right] = [bbox.left, bbox.left + bbox.width];
      const filled = { before: [left, places[0]], after: [places[0], right], between: places }[mark.fill || (other && "between")];
      markOf(chart, { ...mark, value: "" }, places.map((x) => [x, bbox.top, x, bbox.top + bbox.height]), filled && [filled[0], bbox.top, filled[1] - filled[0], bbox.height]);
    }
  };
  return { hooks: { draw: drawMarks } };
}

function markOf({ ctx, bbox }, mark, strokes, area) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = ctx.fillStyle = mark.color || "#D55E00";
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  for (const [left, top, right, bottom] of strokes) {
    ctx.moveTo(left, top);
    ctx.lineTo(right, bottom);
  }
  ctx.stroke();
  const [x1, y1, x2] = strokes[0];
  ctx.globalAlpha = 0.12;
  if (area) ctx.fillRect(...area);
  ctx.restore();
  if (!mark.label) return;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px sans-serif`;
  ctx.fillStyle = mark.color || "#D55E00";
  const across = x1 !== x2;
  ctx.textAlign = "left";
  ctx.textBaseline = across ? "middle" : "top";
  if (across) ctx.fillText(`${mark.label} ${mark.value}`, x2 + 6, y1);
  else ctx.fillText(mark.label, x1 + 6, bbox.top + 2);
  ctx.restore();
}

function tip(filled, columns) {
  const box = element("div", { class: "tip" });
  box.hidden = true;
  const move = (chart) => {
    const { idx, left, top } = chart.cursor;
    box.hidden = idx === null || idx === undefined || left < 0;
    if (box.hidden) return;
    const at = new Date(chart.data[0][idx] * 1000).toISOString().slice(0, 16).replace("T", " ");
    const known = filled.map((each, index) => [each, columns[index][idx]]).filter(([, value]) => value !== null);
    known.sort((a, b) => b[1] - a[1]);
    box.replaceChildren(element("div", { text: `${at} UTC` }), ...known.slice(0, 12).map(([each, value]) => {
      const line = element("div", { text: `${each.label}: ${number(value)}` });
      line.style.color = each.color;
      return line;
    }));
    const over = chart.over.getBoundingClientRect();
    box.style.left = `${left > over.width / 2 ? left - box.offsetWidth - 10 : left + 12}px`;
    box.style.top = `${Math.min(top, over.height - box.offsetHeight)}px`;
  };
  return { hooks: { init: (chart) => chart.over.append(box), setCursor: move } };
}
