// Draws a scene on a canvas.

import { levelFor, lookup, paint, type Film, type Window } from "./film";
import { lengthOf, scaleBar } from "./measure";
import { pathOf, styleOf, topOf } from "./overlays";
import type { Picture, Scene } from "./scene";
import { place, type Placed, type Rect } from "./view";

const MOST_NAMES = 8; // more of them would hide the film; the pointer names them then
const FONT = '"Inter Variable", system-ui, sans-serif';

export interface Layout {
  current: Rect;
  prior: Rect | null; // beside the current film
}

export function layout(scene: Scene, width: number, height: number): Layout {
  if (scene.mode !== "beside" || !scene.prior) {
    return { current: { left: 0, top: 0, width, height }, prior: null };
  }
  const half = (width - 4) / 2;
  return {
    prior: { left: 0, top: 0, width: half, height },
    current: { left: half + 4, top: 0, width: half, height },
  };
}

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
  }
}

function ruler(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, ratio: number): void {
  if (!scene.ruler) return;
  const [from, to] = [scene.ruler.from, scene.ruler.to].map(
    ([column, row]) => [placed.left + column * placed.zoom, placed.top + row * placed.zoom] as const,
  ) as [readonly [number, number], readonly [number, number]];
  context.save();
  context.lineWidth = 1.5 * ratio;
  context.strokeStyle = "#ffffff";
  context.beginPath();
  context.moveTo(from[0], from[1]);
  context.lineTo(to[0], to[1]);
  for (const end of [from, to]) {
    context.moveTo(end[0] + 4 * ratio, end[1]);
    context.arc(end[0], end[1], 4 * ratio, 0, 7);
  }
  context.stroke();
  context.textAlign = "left";
  label(context, lengthOf(scene.ruler.from, scene.ruler.to, scene.current.spacingMm), to[0] + 9 * ratio, to[1] + 4 * ratio, "#ffffff", ratio);
  context.restore();
}

function bar(context: CanvasRenderingContext2D, scene: Scene, placed: Placed, rect: Rect, ratio: number): void {
  const spacing = scene.current.spacingMm;
  if (!spacing) return;
  const { mm, pixels } = scaleBar(spacing[1] / placed.zoom, rect.width / 4);
  const [right, bottom] = [rect.left + rect.width - 14 * ratio, rect.top + rect.height - 18 * ratio];
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
  else if (scene.heat && scene.heatOpacity > 0 && scene.mode !== "swipe") cover(context, scene.heat, scene, placed, scene.heatOpacity);
  outlines(context, scene, placed, ratio);
  if (scene.zonesShown) zones(context, scene, placed, ratio);
}

export function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) return;
  const ratio = canvas.width / canvas.clientWidth;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const where = layout(scene, canvas.width, canvas.height);
  if (where.prior && scene.prior) {
    const placed = place(scene.view, scene.prior.film, where.prior);
    context.save();
    context.beginPath();
    context.rect(where.prior.left, where.prior.top, where.prior.width, where.prior.height);
    context.clip();
    film(context, scene.prior, placed, scene.priorWindow ?? scene.window, scene.inverted);
    context.restore();
  }
  const placed = place(scene.view, scene.current.film, where.current);
  context.save();
  context.beginPath();
  context.rect(where.current.left, where.current.top, where.current.width, where.current.height);
  context.clip();
  film(context, scene.current, placed, scene.window, scene.inverted);
  overlays(context, scene, placed, ratio);
  if (scene.mode === "swipe") swiped(context, scene, placed, where.current, ratio);
  ruler(context, scene, placed, ratio);
  bar(context, scene, placed, where.current, ratio);
  context.restore();
}
