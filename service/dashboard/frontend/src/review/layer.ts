// The pen's own canvas over the film: the reach of a click, the line being drawn, the keyboard's mark.

import type { Spot } from "../viewer/measure";
import type { Placed } from "../viewer/view";

export interface Marks {
  hover: Spot | null;
  reach: number; // film pixels; 0: no circle
  line: readonly Spot[];
  mark: Spot | null; // where Enter acts
}

const LIGHT = "#ffffff";
const SHADE = "rgb(0 0 0 / 75%)";

export function drawMarks(layer: HTMLCanvasElement, film: HTMLCanvasElement, marks: Marks, placed: Placed): void {
  if (layer.width !== film.width || layer.height !== film.height) [layer.width, layer.height] = [film.width, film.height];
  const context = layer.getContext("2d");
  if (!context) return;
  const ratio = film.width / Math.max(1, film.clientWidth);
  context.clearRect(0, 0, layer.width, layer.height);
  const on = ([column, row]: Spot): [number, number] => [placed.left + column * placed.zoom, placed.top + row * placed.zoom];
  const path = new Path2D();
  if (marks.hover && marks.reach) {
    const [x, y] = on(marks.hover);
    path.arc(x, y, marks.reach * placed.zoom, 0, 7);
  }
  marks.line.forEach((spot, i) => (i ? path.lineTo(...on(spot)) : path.moveTo(...on(spot))));
  if (marks.mark) {
    const [x, y] = on(marks.mark);
    const arm = 11 * ratio;
    path.moveTo(x - arm, y);
    path.lineTo(x + arm, y);
    path.moveTo(x, y - arm);
    path.lineTo(x, y + arm);
  }
  for (const [colour, width] of [[SHADE, 3.5], [LIGHT, 1.4]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width * ratio;
    context.stroke(path);
  }
}
