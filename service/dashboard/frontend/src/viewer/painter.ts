// Draws a scene on a canvas.

import { levelFor, lookup, paint, type Film, type Window } from "./film";
import { drawLens, lensAt } from "./loupe";
import { lengthOf, scaleBar, type Spot } from "./measure";
import { pathOf, styleOf, topOf } from "./overlays";
import { panelAt, panels, type Panel } from "./panels";
import type { Ruler, Side } from "./rulers";
import type { Picture, Scene } from "./scene";
import { toFilm, type Placed, type Rect } from "./view";

const READOUT_PX = 40; // height of the words at the lower left
const MOST_NAMES = 8; // more of them would hide the film; the pointer names them then
const FONT = '"Inter Variable", system-ui, sans-serif';

function film(context: CanvasRenderingContext2D, picture: Picture, placed: Placed, window: Window, inverted: boolean): void {
  const level = levelFor(placed.zoom, picture.levels.length);
  const stamp = `${window.level} ${window.width} ${inverted}`;
  const canvas = picture.canvas(level, stamp, (pixels: Film, into) => paint(pixels, lookup(window, inverted), into));
  context.imageSmoothingEnabled = placed.zoom < 4;
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, placed.left, placed.top, picture.film.width * placed.zoom, picture.film.height * placed.zoom);
}

function cover(context: CanvasRenderingContext2D, canvas: OffscreenCanvas, scene: Scene, placed: Placed, alpha: number): void {
  context.save();
  context.globalAlpha = alpha;
  context.imageSmoothingEnabled = true;
  const { width, height } = scene.current.film;
  context.drawImage(canvas, placed.left, placed.top, width * placed.zoom, height * placed.zoom);
  context.restore();
}

function label(context: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string, ratio: number): void {
  context.font = `560 ${12 * ratio}px ${FONT}`;
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "rgb(0 0 0 / 80%)";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function outlines(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, ratio: number): void {
  scene.outlines.forEach((outline, i) => {
    if (!scene.shownOutlines.has(outline.name)) return;
    const style = styleOf(i);
    context.save();
    context.setTransform(placed.zoom, 0, 0, placed.zoom, placed.left, placed.top);
    context.lineWidth = (1.6 * ratio) / placed.zoom;
    context.setLineDash(style.dash.map((length) => (length * ratio) / placed.zoom));
    context.strokeStyle = style.colour;
    context.stroke(pathOf(outline));
    context.restore();
    const top = topOf(outline);
    if (!top || scene.shownOutlines.size > MOST_NAMES) return;
    context.textAlign = "center";
    label(context, outline.label, placed.left + top[0] * placed.zoom, placed.top + top[1] * placed.zoom - 5 * ratio, style.colour, ratio);
  });
}

function zones(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, ratio: number): void {
  context.textAlign = "center";
  for (const mark of scene.zoneMarks) {
    context.save();
    context.setTransform(placed.zoom, 0, 0, placed.zoom, placed.left, placed.top);
    context.lineWidth = ratio / placed.zoom;
    context.strokeStyle = "rgb(255 255 255 / 70%)";
    context.stroke(pathOf(mark.boundary));
    context.restore();
    const [x, y] = [placed.left + mark.at[0] * placed.zoom, placed.top + mark.at[1] * placed.zoom];
    label(context, mark.text, x, y, "#ffffff", ratio);
    if (mark.then) label(context, mark.then, x, y + 15 * ratio, "#c6d0db", ratio);
  }
}

/** `edge` is where the film's part of the canvas ends, for the words; without it none are written. */
function ruler(context: CanvasRenderingContext2D, one: Ruler, placed: Placed, spacing: Picture["spacingMm"], ratio: number, edge: number | null): void {
  const [from, to] = [one.from, one.to].map(
    ([column, row]) => [placed.left + column * placed.zoom, placed.top + row * placed.zoom] as const,
  ) as [readonly [number, number], readonly [number, number]];
  context.save();
  for (const [width, colour] of [[3.5, "rgb(0 0 0 / 70%)"], [1.5, "#ffffff"]] as const) {
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    for (const end of [from, to]) {
      context.moveTo(end[0] + 5 * ratio, end[1]);
      context.arc(end[0], end[1], 5 * ratio, 0, 7);
    }
    context.stroke();
  }
  if (edge !== null) {
    const leftwards = to[0] > edge - 170 * ratio;
    context.textAlign = leftwards ? "right" : "left";
    label(context, lengthOf(one.from, one.to, spacing), to[0] + (leftwards ? -11 : 11) * ratio, to[1] + 4 * ratio, "#ffffff", ratio);
  }
  context.restore();
}

function rulers(context: CanvasRenderingContext2D, scene: Scene, side: Side, placed: Placed, spacing: Picture["spacingMm"], ratio: number, edge: number | null): void {
  for (const one of scene.rulers.all) if (one.side === side) ruler(context, one, placed, spacing, ratio, edge);
}

/** The mark that the arrow keys move: a cross that leaves its middle free. */
function cross(context: CanvasRenderingContext2D, x: number, y: number, ratio: number): void {
  context.save();
  for (const [width, colour] of [[3.5, "rgb(0 0 0 / 70%)"], [1.5, "#9fd0ff"]] as const) {
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + 4 * dx * ratio, y + 4 * dy * ratio);
      context.lineTo(x + 13 * dx * ratio, y + 13 * dy * ratio);
    }
    context.stroke();
  }
  context.restore();
}

/** `lift` keeps it above the words in the corner of the picture. */
function bar(context: CanvasRenderingContext2D, spacing: Picture["spacingMm"], placed: Placed, rect: Rect, ratio: number, lift: number): void {
  if (!spacing) return;
  const { mm, pixels } = scaleBar(spacing[1] / placed.zoom, rect.width / 4);
  const [right, bottom] = [rect.left + rect.width - 14 * ratio, rect.top + rect.height - (18 + lift) * ratio];
  context.fillStyle = "rgb(0 0 0 / 70%)";
  context.fillRect(right - pixels - ratio, bottom - ratio, pixels + 2 * ratio, 4 * ratio);
  context.fillStyle = "#e8edf3";
  context.fillRect(right - pixels, bottom, pixels, 2 * ratio);
  context.textAlign = "right";
  label(context, `${mm} mm at the detector`, right, bottom - 6 * ratio, "#e8edf3", ratio);
}

/** Two ends stay fixed while swiping: the prior left of the handle, the current film right of it. */
function swiped(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, rect: Rect, ratio: number): void {
  if (!scene.aligned) return;
  const x = rect.left + rect.width * scene.swipe;
  context.save();
  context.beginPath();
  context.rect(rect.left, rect.top, x - rect.left, rect.height);
  context.clip();
  context.fillStyle = "#000";
  context.fillRect(rect.left, rect.top, rect.width, rect.height);
  film(context, scene.aligned, placed, scene.priorWindow ?? scene.window, scene.inverted);
  context.restore();
  context.fillStyle = "#7bbcff";
  context.fillRect(x - ratio, rect.top, 2 * ratio, rect.height);
  context.textAlign = "right";
  label(context, "Prior ◂", x - 10 * ratio, rect.top + rect.height * 0.5, "#7bbcff", ratio);
  context.textAlign = "left";
  label(context, "▸ Current", x + 10 * ratio, rect.top + rect.height * 0.5, "#7bbcff", ratio);
}

function overlays(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, ratio: number): void {
  if (scene.mode === "difference" && scene.difference) cover(context, scene.difference, scene, placed, 1);
  else if (scene.heat && scene.heatOpacity > 0 && !["swipe", "blink"].includes(scene.mode)) cover(context, scene.heat, scene, placed, scene.heatOpacity);
  outlines(context, scene, placed, ratio);
  if (scene.zonesShown) zones(context, scene, placed, ratio);
}

/** Everything of one film, within its part of the canvas. */
function panel(context: CanvasRenderingContext2D, scene: Scene, one: Panel, ratio: number): void {
  const { placed, rect, side } = one;
  context.save();
  context.beginPath();
  context.rect(rect.left, rect.top, rect.width, rect.height);
  context.clip();
  const seen = scene.mode === "blink" ? panelAt(scene, rect.width, rect.height, 0) : one;
  film(context, seen.picture, placed, seen.window, scene.inverted);
  if (side === "current") overlays(context, scene, placed, ratio);
  if (scene.mode === "swipe") swiped(context, scene, placed, rect, ratio);
  rulers(context, scene, side, placed, one.picture.spacingMm, ratio, rect.left + rect.width);
  bar(context, one.picture.spacingMm, placed, rect, ratio, side === "prior" ? READOUT_PX : 0);
  if (scene.mark && side === "current") cross(context, placed.left + scene.mark[0] * placed.zoom, placed.top + scene.mark[1] * placed.zoom, ratio);
  context.restore();
}

/** Where the loupe looks: at the pointer, else at the mark. */
function looked(scene: Scene, width: number, height: number): { x: number; y: number; touch: boolean } | null {
  if (scene.pointer) return scene.pointer;
  if (!scene.mark) return null;
  const placed = panels(scene, width, height).at(-1)?.placed;
  return placed ? { x: placed.left + scene.mark[0] * placed.zoom, y: placed.top + scene.mark[1] * placed.zoom, touch: false } : null;
}

function loupe(context: CanvasRenderingContext2D, scene: Scene, ratio: number): void {
  const { width, height } = context.canvas;
  const at = looked(scene, width, height);
  if (!at || !(scene.loupe || scene.loupeHeld)) return;
  const one = panelAt(scene, width, height, at.x);
  const spot: Spot = toFilm(one.placed, at.x, at.y);
  const lens = lensAt(at.x, at.y, { width, height }, ratio, one.placed.zoom, at.touch);
  context.save();
  context.beginPath();
  context.arc(lens.x, lens.y, lens.radius, 0, 7);
  context.save();
  context.clip();
  const placed = drawLens(context, lens, one, spot, lookup(one.window, scene.inverted));
  rulers(context, scene, one.side, placed, one.picture.spacingMm, ratio, null);
  cross(context, lens.x, lens.y, ratio);
  context.restore();
  context.beginPath();
  context.arc(lens.x, lens.y, lens.radius, 0, 7);
  context.lineWidth = 2 * ratio;
  context.strokeStyle = "#e8edf3";
  context.stroke();
  context.textAlign = "center";
  const words = lens.zoom === 1 ? "1:1" : `${lens.zoom.toFixed(1)}:1`;
  label(context, words, lens.x, lens.y + lens.radius - 10 * ratio, "#e8edf3", ratio);
  context.restore();
}

export function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) return;
  const ratio = canvas.width / canvas.clientWidth;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const one of panels(scene, canvas.width, canvas.height)) panel(context, scene, one, ratio);
  loupe(context, scene, ratio);
}
