const pools = JSON.parse(document.getElementById("minutes").textContent);
const number = value => value == null ? "–" : Math.round(value).toLocaleString("en-US");
// uPlot's own labels have 12 hours. Columns: seconds between ticks, label, and what is added when a year, a day begins.
const clock = [
  [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];
// An axis has no part of a minute, of a request or of a token, so no label comes twice.
const SMALLEST = 10;
const steps = [1, 2, 5].flatMap(step => Array.from({ length: 13 }, (_, power) => step * 10 ** power)).sort((a, b) => a - b);
const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 525600].map(each => each * 60);
// A minute between two without calls has no line, so it is drawn as a point.
const alone = (chart, number) => {
  const values = chart.data[number];
  return values.flatMap((value, at) => value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []);
};
const line = { width: 1.5, points: { show: true, size: 4, filter: alone } };
for (const pool of pools) {
  const place = document.getElementById(pool.id);
  const series = [{ label: "minute (UTC)", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }];
  const data = [pool.minutes];
  const add = (label, values, stroke, more) => {
    if (values.some(value => value != null)) {
      series.push({ label, stroke, value: (_, shown) => number(shown), ...more });
      data.push(values);
    }
  };
  add("reserved", pool.reserved, "#0072B2", line);
  add("consumed", pool.consumed, "#E69F00", line);
  add("in use at once (model)", pool.in_use, "#009E73", line);
  add("throttled requests", pool.throttled, "#CC79A7", { scale: "calls", paths: uPlot.paths.bars(), fill: "#CC79A788" });
  if (pool.quota != null) add("quota", pool.minutes.map(() => pool.quota), "#c62828", { dash: [6, 4] });
  const throttled = pool.throttled.some(value => value != null);
  const options = () => ({
    width: place.clientWidth, height: 280, series, tzDate: second => uPlot.tzDate(new Date(second * 1000), "UTC"),
    scales: { y: { range: (_, low, high) => [0, high * 1.05 || SMALLEST] }, calls: { range: (_, low, high) => [0, high * 4 || SMALLEST] } },
    axes: [
      { values: clock, incrs: minutes },
      { size: 80, incrs: steps, values: (_, ticks) => ticks.map(number) },
      ...(throttled ? [{ scale: "calls", side: 1, incrs: steps, grid: { show: false } }] : []),
    ],
  });
  const drawn = new uPlot(options(), data, place);
  addEventListener("resize", () => drawn.setSize({ width: place.clientWidth, height: 280 }));
}
