// The magnifier: a round piece of the film around one place, at least one screen pixel for each pixel of
// the film, painted from the 16 bits with the window in force.

import { paint, type Film } from "./film";
import type { Spot } from "./measure";
import type { Panel } from "./panels";
import type { Placed } from "./view";

const RADIUS = 112; // CSS pixels
const LIFT = 46; // from a finger to the rim
const STRONGER = 2; // than what is seen around it

export interface Lens {
  x: number; // its middle on the canvas
  y: number;
  radius: number;
  zoom: number; // screen pixels per film pixel
}

/** Never coarser than the film's own pixels, and stronger than the view around it. */
export function loupeZoom(seen: number): number {
  return Math.max(1, STRONGER * seen);
}

/** The lens over a place of the canvas; for a finger it stands above it, or below where there is no room. */
export function lensAt(x: number, y: number, size: { width: number; height: number }, ratio: number, seen: number, lifted: boolean): Lens {
  const radius = Math.min(RADIUS * ratio, 0.32 * Math.min(size.width, size.height));
  const lens = { x, y, radius, zoom: loupeZoom(seen) };
  if (!lifted) return lens;
  const above = y - radius - LIFT * ratio;
  const inside = Math.min(Math.max(x, radius), size.width - radius);
  return { ...lens, x: inside, y: above >= radius ? above : y + radius + LIFT * ratio };
}

/** The pixels within `reach` of a place, and where they begin; nothing outside the film. */
export function crop(film: Film, [column, row]: Spot, reach: number): { film: Film; left: number; top: number } {
  const [left, top] = [Math.floor(column - reach), Math.floor(row - reach)].map((from) => Math.max(0, from)) as [number, number];
  const width = Math.max(0, Math.min(film.width, Math.ceil(column + reach)) - left);
  const height = Math.max(0, Math.min(film.height, Math.ceil(row + reach)) - top);
  const pixels = new Uint16Array(width * height);
  for (let line = 0; line < height; line++) {
    const from = (top + line) * film.width + left;
    pixels.set(film.pixels.subarray(from, from + width), line * width);
  }
  return { film: { width, height, pixels }, left, top };
}

/** Draw what lies at `spot` of a panel into the lens; returns where the film lies within it. */
export function drawLens(context: CanvasRenderingContext2D, lens: Lens, panel: Panel, spot: Spot, table: Uint32Array): Placed {
  const piece = crop(panel.picture.film, spot, lens.radius / lens.zoom + 1);
  const native = lens.zoom === 1;
  const at = (middle: number, away: number): number => (native ? Math.round(middle - away) : middle - away * lens.zoom);
  const placed = { zoom: lens.zoom, left: at(lens.x, spot[0]), top: at(lens.y, spot[1]) };
  context.fillStyle = "#000";
  context.fillRect(lens.x - lens.radius, lens.y - lens.radius, 2 * lens.radius, 2 * lens.radius);
  if (!piece.film.width || !piece.film.height) return placed;
  const canvas = new OffscreenCanvas(piece.film.width, piece.film.height);
  const own = canvas.getContext("2d", { alpha: false });
  if (!own) return placed;
  const data = own.createImageData(piece.film.width, piece.film.height);
  paint(piece.film, table, new Uint32Array(data.data.buffer));
  own.putImageData(data, 0, 0);
  context.imageSmoothingEnabled = !native && lens.zoom < 4;
  context.drawImage(canvas, placed.left + piece.left * lens.zoom, placed.top + piece.top * lens.zoom, piece.film.width * lens.zoom, piece.film.height * lens.zoom);
  return placed;
}
