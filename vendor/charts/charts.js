// Draws the distributions of a report: every value as a tick, a box over them, one row a subject.
import { axisX, axisY, boxX, plot, ruleX, tickX } from "@observablehq/plot";

const document_ = JSON.parse(document.getElementById("data").textContent);

// A linear axis shows nothing of the small ones where others are many times larger.
function isWide(values) {
  const least = Math.min(...values);
  return least > 0 && Math.max(...values) / least > 20;
}

function describe(figure, results) {
  const medians = results.map((r) => `${r.subject} ${r.median} ${figure.unit}`).join(", ");
  return `Distribution of ${figure.title} in ${figure.unit}. Medians: ${medians}.`;
}

function draw(place, figure) {
  const results = figure.results.filter((r) => r.samples && r.samples.length);
  const rows = results.flatMap((r) => r.samples.map((value) => ({ subject: r.subject, value })));
  const wide = isWide(rows.map((row) => row.value));
  const widest = Math.max(...results.map((r) => r.subject.length));
  const svg = plot({
    width: 720,
    height: 60 + 44 * results.length,
    marginLeft: Math.min(220, 24 + 8 * widest),
    marginBottom: 40,
    ariaLabel: figure.title,
    ariaDescription: describe(figure, results),
    x: { type: wide ? "log" : "linear", zero: !wide, nice: !wide },
    y: { domain: results.map((r) => r.subject) },
    marks: [
      wide ? null : ruleX([0], { strokeOpacity: 0.4 }),
      axisX({ label: `${figure.unit}${wide ? ", logarithmic" : ""}; ${figure.better} is better`, ticks: 6, tickFormat: (value) => String(+value.toPrecision(3)) }),
      axisY({ label: null, tickSize: 0 }),
      tickX(rows, { x: "value", y: "subject", stroke: "var(--tick)", strokeOpacity: 0.35 }),
      boxX(rows, { x: "value", y: "subject", fill: "var(--box)", fillOpacity: 0.45, stroke: "currentColor", r: 0 }),
    ],
  });
  svg.setAttribute("role", "img");
  place.replaceChildren(svg);
}

for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = document_.figures.find((f) => f.id === place.dataset.figure);
  draw(place, figure);
}
