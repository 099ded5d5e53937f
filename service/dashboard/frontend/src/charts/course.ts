// One time axis for risk, severity, vital signs and events: stacked panels that share a cursor.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { token } from "../theme";
import { columns, lastBefore, type Point } from "./band";
import { lines, type Span } from "./labels";

export interface Panel {
  key: string;
  label: string;
  unit: string;
  accent: "risk" | "change" | "plain";
  low: number | null; // of the axis; null: from the values
  high: number | null;
  digits: number;
  gap_s: number;
  points: Point[];
}

export interface Course {
  zone: string;
  from: number;
  until: number;
  panels: Panel[];
  events: { at: number; label: string; kind: string }[];
  steps: { at: number; url: string }[];
}

const COLOUR = { risk: "--risk", change: "--change", plain: "--soft" } as const;

function clock(zone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
}

function written(panel: Panel, point: Point | null): string {
  if (!point) return "";
  const value = point.value.toFixed(panel.digits);
  if (point.low === null || point.high === null) return `${value} ${panel.unit}`;
  return `${value} ${panel.unit} (${point.low.toFixed(panel.digits)}–${point.high.toFixed(panel.digits)})`;
}

function drawEvents(chart: uPlot, course: Course, named: boolean): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = token("--line-strong");
  ctx.fillStyle = token("--muted");
  ctx.font = `${11 * devicePixelRatio}px "Inter Variable", sans-serif`;
  ctx.textAlign = "left"; // the axes leave it centred
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  const names: { text: string; span: Span }[] = [];
  for (const event of course.events) {
    const x = Math.round(chart.valToPos(event.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(event.label).width + 8 * devicePixelRatio;
    const from = x < bbox.left + bbox.width * 0.8 ? x : x - width;
    names.push({ text: event.label, span: { from, to: from + width } });
  }
  if (named) {
    const placed = lines(names.map((one) => one.span));
    names.forEach(({ text, span }, i) => {
      const y = bbox.top + (11 + 12 * (placed[i] ?? 0)) * devicePixelRatio;
      ctx.fillText(text, span.from + 4 * devicePixelRatio, y);
    });
  }
  ctx.restore();
}

/** Films are single measurements: an interval belongs to each, and none to the time between. */
function drawWhiskers(chart: uPlot, panel: Panel): void {
  if (panel.accent === "risk") return;
  const { ctx } = chart;
  ctx.save();
  ctx.strokeStyle = token(COLOUR[panel.accent]);
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (const point of panel.points) {
    if (point.low === null || point.high === null) continue;
    const x = chart.valToPos(point.at, "x", true);
    ctx.beginPath();
    for (const end of [point.low, point.high]) {
      const y = chart.valToPos(end, "y", true);
      ctx.moveTo(x - 4 * devicePixelRatio, y);
      ctx.lineTo(x + 4 * devicePixelRatio, y);
    }
    ctx.moveTo(x, chart.valToPos(point.low, "y", true));
    ctx.lineTo(x, chart.valToPos(point.high, "y", true));
    ctx.stroke();
  }
  ctx.restore();
}

function options(panel: Panel, course: Course, width: number, last: boolean, first: boolean): uPlot.Options {
  const colour = token(COLOUR[panel.accent]);
  const grid = { stroke: token("--line"), width: 1 };
  const font = '11px "Inter Variable", sans-serif';
  return {
    width,
    height: panel.accent === "risk" ? 132 : last ? 106 : 84,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), course.zone),
    legend: { show: false },
    padding: [8, 12, last ? 0 : 7, 0],
    cursor: { sync: { key: "course", setSeries: false }, drag: { x: false, y: false }, y: false },
    scales: {
      x: { time: true, range: () => [course.from, course.until] },
      y: { range: (_chart, low, high) => [panel.low ?? low - (high - low || 2) * 0.15, panel.high ?? high + (high - low || 2) * 0.15] },
    },
    axes: [
      {
        show: last, stroke: token("--muted"), grid, ticks: { show: false }, font, size: 22,
        values: [[86400, "{D} {MMM}", null, null, null, null, null, null, 1], [3600, "{HH}:{mm}", "\n{D} {MMM}", null, null, null, null, null, 1], [60, "{HH}:{mm}", null, null, null, null, null, null, 1]],
      },
      { stroke: token("--muted"), grid, ticks: { show: false }, font, size: 44, splits: (_c, _i, low, high) => [low, (low + high) / 2, high], values: (_c, ticks) => ticks.map((tick) => tick.toFixed((ticks[ticks.length - 1] ?? 0) - (ticks[0] ?? 0) < 6 ? 1 : 0)) },
    ],
    series: [
      {},
      { stroke: colour, width: 2, points: { show: panel.points.length < 90, size: panel.points.length < 12 ? 8 : 4, fill: colour, stroke: colour } },
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
    ],
    bands: panel.accent !== "risk" ? [] : [{ series: [3, 2], fill: token("--risk-band") }],
    hooks: { draw: [(chart) => drawEvents(chart, course, first), (chart) => drawWhiskers(chart, panel)] },
  };
}

function readAll(course: Course, at: number | null, outputs: Map<string, HTMLOutputElement>, when: HTMLElement | null): void {
  for (const panel of course.panels) {
    const output = outputs.get(panel.key);
    const point = at === null ? panel.points[panel.points.length - 1] ?? null : lastBefore(panel.points, at, panel.gap_s);
    if (output) output.value = written(panel, point) || (at === null ? "" : "no value then");
  }
  if (when) when.textContent = at === null ? "newest values" : clock(course.zone).format(new Date(at * 1000));
}

/** The step (an hour with contributions) nearest to where somebody clicked. */
function nearest(course: Course, at: number): string | undefined {
  return [...course.steps].sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0]?.url;
}

/** Draw every panel into its `[data-panel]`; call the returned function to draw again. */
export function drawCourse(course: Course): () => void {
  const outputs = new Map<string, HTMLOutputElement>();
  const when = document.querySelector<HTMLElement>("[data-when]");
  const charts: uPlot[] = [];
  const shown = course.panels.filter((panel) => document.querySelector(`[data-panel="${panel.key}"]`));
  shown.forEach((panel, i) => {
    const place = document.querySelector<HTMLElement>(`[data-panel="${panel.key}"]`);
    if (!place) return;
    const output = place.closest(".panel")?.querySelector("output");
    if (output) outputs.set(panel.key, output);
    place.replaceChildren();
    const chart = new uPlot(options(panel, course, place.clientWidth, i === shown.length - 1, i === 0), columns(panel.points, panel.gap_s), place);
    chart.over.addEventListener("click", () => {
      const url = nearest(course, chart.posToVal(chart.cursor.left ?? 0, "x"));
      if (url) location.assign(url);
    });
    chart.over.addEventListener("mousemove", () => readAll(course, chart.posToVal(chart.cursor.left ?? 0, "x"), outputs, when));
    chart.over.addEventListener("mouseleave", () => readAll(course, null, outputs, when));
    charts.push(chart);
  });
  readAll(course, null, outputs, when);
  return () => charts.forEach((chart) => chart.destroy());
}
