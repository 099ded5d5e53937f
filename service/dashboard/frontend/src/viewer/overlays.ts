// What is drawn over a film: heat map, difference, contours, zone scores.

export interface Outline {
  name: string;
  label: string;
  polylines: [number, number][][]; // (row, column) on the film's grid
}

export type Grey = { width: number; height: number; values: Uint8ClampedArray };

/** One channel of a picture that the server sent as 8-bit PNG. */
export async function loadGrey(url: string): Promise<Grey> {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`expected a picture, found status ${answer.status}`);
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("expected a canvas with two dimensions, found none; use a newer browser");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const values = new Uint8ClampedArray(bitmap.width * bitmap.height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i] as number;
  return { width: bitmap.width, height: bitmap.height, values };
}

type Rgba = [number, number, number, number];

/** Orange whose brightness and opacity both rise: readable without seeing its hue. */
export function heatColour(value: number): Rgba {
  const share = value / 255;
  return [255, 120 + 110 * share, 40 + 60 * share, 235 * Math.min(1, share * 1.25)];
}

/** 128 is no change. Denser: orange; clearer: blue, as `difference.png`. Opacity is the size of the change. */
export function differenceColour(value: number): Rgba {
  const signed = (value - 128) / 127;
  const size = Math.min(1, Math.abs(signed) * 3);
  return signed > 0 ? [255, 165, 60, 230 * size] : [110, 190, 255, 230 * size];
}

export function coloured(grey: Grey, colour: (value: number) => Rgba): OffscreenCanvas {
  const canvas = new OffscreenCanvas(grey.width, grey.height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("expected a canvas with two dimensions, found none; use a newer browser");
  const table = Array.from({ length: 256 }, (_, value) => colour(value));
  const picture = context.createImageData(grey.width, grey.height);
  grey.values.forEach((value, i) => picture.data.set(table[value] as Rgba, 4 * i));
  context.putImageData(picture, 0, 0);
  return canvas;
}

// Twelve line styles: hue and dash together, so that hue is never the only carrier.
const HUES = ["#7bbcff", "#ffd166", "#8ce99a", "#ff9aa8", "#d0b3ff", "#66d9e8"];
const DASHES: readonly number[][] = [[], [6, 3], [2, 3], [9, 3, 2, 3]];

export function styleOf(index: number): { colour: string; dash: number[] } {
  return {
    colour: HUES[index % HUES.length] as string,
    dash: [...(DASHES[Math.floor(index / HUES.length) % DASHES.length] as number[])],
  };
}

export function pathOf(outline: Outline): Path2D {
  const path = new Path2D();
  for (const line of outline.polylines) {
    line.forEach(([row, column], i) => (i ? path.lineTo(column, row) : path.moveTo(column, row)));
    path.closePath();
  }
  return path;
}

/** Where the name of a contour is written: its highest point. */
export function topOf(outline: Outline): [number, number] | null {
  let top: [number, number] | null = null;
  for (const line of outline.polylines) {
    for (const [row, column] of line) if (!top || row < top[1]) top = [column, row];
  }
  return top;
}

const ROWS = [3, 4, 2, 5, 1].map((sixth) => sixth / 6); // where a shape is tried, its middle first

/** Column and row of a place within a shape where it is wide: there a word hides least else. */
export function roomIn(polylines: readonly [number, number][][]): [number, number] | null {
  const rows = polylines.flat().map(([row]) => row);
  if (!rows.length) return null;
  const [top, bottom] = [Math.min(...rows), Math.max(...rows)];
  let best: { at: [number, number]; width: number } | null = null;
  for (const share of ROWS) {
    const row = top + (bottom - top) * share;
    const edges = polylines.flatMap((line) => crossings(line, row)).sort((a, b) => a - b);
    for (let i = 0; i + 1 < edges.length; i += 2) {
      const [from, until] = [edges[i] as number, edges[i + 1] as number];
      if (!best || until - from > 1.15 * best.width) best = { at: [(from + until) / 2, row], width: until - from };
    }
  }
  return best?.at ?? null;
}

/** Columns at which a closed line crosses a row. */
function crossings(line: readonly [number, number][], row: number): number[] {
  return line.flatMap(([r, c], i) => {
    const [next, column] = line[(i + 1) % line.length] as [number, number];
    return r <= row !== next <= row ? [c + ((row - r) * (column - c)) / (next - r)] : [];
  });
}
