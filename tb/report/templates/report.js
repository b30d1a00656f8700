"use strict";
// The page's controls: theme, charts, pictures.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const minus = (value) => (value === null ? "x" : String(value).replace("-", "−"));

// ---- theme and charts

const darkWanted = matchMedia("(prefers-color-scheme: dark)");
let theme = darkWanted.matches ? "dark" : "light";
const charts = [...document.querySelectorAll("[data-chart]")];

for (const chart of charts) {
  const { data: traces, layout } = data.figures[chart.dataset.chart];
  Plotly.newPlot(chart, traces, { ...layout, template: data.templates[theme] },
    { displayModeBar: false, responsive: true });
}

function showTheme(next) {
  theme = next;
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `switch to ${theme === "dark" ? "light" : "dark"} colours`);
  for (const chart of charts) Plotly.relayout(chart, { template: data.templates[theme] });
}
byId("theme").addEventListener("click", () => showTheme(theme === "dark" ? "light" : "dark"));
darkWanted.addEventListener("change", (event) => showTheme(event.matches ? "dark" : "light"));
showTheme(theme);

const RANGE = 64; // cycles
const [, lastCycle] = data.figures.utilisation.layout.xaxis.range;
const ranges = {
  all: [0, lastCycle], start: [0, RANGE], end: [Math.max(0, lastCycle - RANGE), lastCycle],
};
const rangeButtons = [...document.querySelectorAll("[data-range]")];
for (const button of rangeButtons) {
  button.addEventListener("click", () => {
    Plotly.relayout("chart-utilisation", { "xaxis.range": ranges[button.dataset.range] });
    for (const other of rangeButtons) other.setAttribute("aria-pressed", String(other === button));
  });
}

// ---- pictures of the chosen image

function showImage(number) {
  const image = data.pictures.images[number];
  byId("image").src = image.png;
  byId("image").alt = image.name;
  byId("image-name").textContent = `${number}: ${image.name}`;
  Plotly.restyle("chart-input", { z: image.input });
  Plotly.restyle("chart-output", { z: image.output });
}
Plotly.restyle("chart-weights", { z: data.pictures.weights });
byId("images").addEventListener("change", (event) => showImage(Number(event.target.value)));
showImage(data.chosen);
