// The series of the analytics page as a chart, in the page's colours; the rest needs no script.
const form = document.querySelector("form.filter");
form.addEventListener("submit", () => {
  // A time that was chosen wins over a named range; what is empty stays out of the URL.
  if (form.elements.last && (form.elements.from.value || form.elements.to.value)) form.elements.last.disabled = true;
  for (const input of form.elements) if (input.name && !input.value) input.disabled = true;
});
addEventListener("pageshow", () => { for (const input of form.elements) input.disabled = false; });

// Escape takes an explanation away until the pointer or the focus comes back.
const figures = document.querySelector(".figures");
addEventListener("keydown", (event) => { if (event.key === "Escape") figures?.classList.add("still"); });
for (const type of ["pointerover", "focusin"]) figures?.addEventListener(type, () => figures.classList.remove("still"));

// The URL has the time zone, so a view that is shared is the same for everyone; UTC without one.
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
const url = new URL(location);
if (here && here !== "UTC" && !url.searchParams.has("tz")) {
  url.searchParams.set("tz", here);
  const link = Object.assign(document.createElement("a"), { href: url.search, textContent: `show in ${here}` });
  document.getElementById("zone").append(" (", link, ")");
}

const source = document.getElementById("data");
const data = source && JSON.parse(source.textContent);
const element = document.getElementById("series");

function colours() {
  const style = getComputedStyle(document.documentElement);
  return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
}

const phone = matchMedia("(max-width: 40rem)");
const scaled = (value) => (value === null || data.kind !== "share" ? value : value * 100);
const unit = { share: " %", seconds: " s" }[data?.kind] ?? "";

// A bucket that the range cuts off has too few calls: it is pale, hatched and dashed, and says why.
function traces(colour) {
  const { points, before } = data;
  // Two traces, because the legend looks like the first bar of its trace.
  const bars = (name, value, color, opacity, more) => [false, true].map((isPart) => {
    const list = points.filter((each) => Boolean(each.part) === isPart);
    return {
      type: "bar", name, legendgroup: name, showlegend: !isPart, x: list.map((each) => each.at), y: list.map(value),
      customdata: list.map((each) => each.url), text: list.map((each) => each.part), textposition: "none", hovertemplate: "%{y} %{text}",
      opacity: isPart ? opacity / 2 : opacity,
      marker: { color, pattern: { shape: isPart ? "/" : "", fgcolor: colour.card, fillmode: "overlay", size: 6, solidity: 0.35 } },
      ...more,
    };
  });
  const lines = (name, list, color, more) => {
    const [first, last] = [list.findIndex((each) => !each.part), list.findLastIndex((each) => !each.part)];
    const shown = { type: "scatter", name, legendgroup: name, x: list.map((each) => each.at) };
    const value = list.map((each) => scaled(each.value));
    const drawn = (isDrawn, line, legend) => ({
      ...shown, mode: "lines", y: value.map((each, at) => (isDrawn(at) ? each : null)), line: { color, width: 2.5, ...more, ...line },
      hoverinfo: "skip", showlegend: legend,
    });
    return [
      drawn((at) => first <= at && at <= last, {}, true),
      drawn((at) => at <= first, { dash: "dot", width: 1.5 }, false),
      drawn((at) => at >= last, { dash: "dot", width: 1.5 }, false),
      {
        ...shown, mode: "markers", y: value, customdata: list.map((each) => each.url), showlegend: false,
        text: list.map((each) => [each.parts ? `${each.text} (${each.parts})` : each.text, each.part].join(" ").trim()),
        hovertemplate: "%{text}",
        marker: { color, size: more ? 3 : 6, symbol: list.map((each) => (each.part ? "circle-open" : "circle")) },
      },
    ];
  };
  // Beside whole buckets, an incomplete one would look as if calls had stopped then.
  const whole = before.filter((each) => !each.part);
  const earlier = whole.length ? lines("One week earlier", whole, colour.warn, { dash: "dash", width: 2 }) : [];
  if (data.key === "calls") {
    return [
      ...bars("Answered", (each) => each.answered, colour.accent, 1),
      ...bars("Not answered", (each) => each.calls - each.answered, colour.quiet, 0.6),
      ...earlier,
    ];
  }
  return [
    ...bars("Calls", (each) => each.calls, colour.quiet, 0.22, { yaxis: "y2" }),
    ...earlier,
    ...lines(data.title, points, colour.accent),
  ];
}

function layout(colour) {
  const axis = { gridcolor: colour.line, linecolor: colour.line, zerolinecolor: colour.line, automargin: true, fixedrange: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, barmode: "stack", bargap: 0.15, hovermode: "x unified",
    font: { color: colour.text, family: getComputedStyle(document.body).fontFamily, size: 12 },
    margin: { l: 44, r: 12, t: 8, b: 36 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    hoverlabel: { bgcolor: colour.card, bordercolor: colour.line, font: { color: colour.text } },
    xaxis: { ...axis, type: "date", showgrid: false, ...(phone.matches ? { nticks: 4, tickangle: 0 } : {}) },
    yaxis: { ...axis, rangemode: "tozero", ticksuffix: unit, tickmode: "auto", ...(data.key === "calls" ? {} : { overlaying: "y2" }) },
    yaxis2: { ...axis, rangemode: "tozero", side: "right", showgrid: false, tickfont: { color: colour.quiet } },
  };
}

function draw() {
  const colour = colours();
  Plotly.react(element, traces(colour), layout(colour), { displayModeBar: false, responsive: true });
}

// The chart library is large: it is loaded once the rest of the page is painted.
function painted() {
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

function loaded(url) {
  return new Promise((done, failed) => {
    const script = Object.assign(document.createElement("script"), { src: url, onload: done });
    script.addEventListener("error", () => failed(new Error(`${url} cannot be loaded`)));
    document.head.append(script);
  });
}

if (data) {
  await painted();
  try {
    await loaded(element.dataset.library);
  } catch (error) {
    element.textContent = `${error.message}. The table below has the same figures.`;
    throw error;
  }
  draw();
  element.on("plotly_click", ({ points: [point] }) => {
    if (point.customdata) location.assign(point.customdata);
  });
  document.addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
