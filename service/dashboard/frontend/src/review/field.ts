// The model's field of one structure, as a reader bends it: log-odds over the film, inside above 0.

export interface Field {
  width: number;
  height: number;
  values: Float32Array; // log-odds, row by row
}

export type Point = readonly [number, number]; // column, row on the field's grid

const SURE = 4; // log-odds of what a reader has drawn around: near the most that 8 bits tell
const PAST = 0.4; // how far beyond the edge a click takes its spot
const LEAST = 0.8; // a click that changes nothing at its spot still moves the edge near it

/** Log-odds of the server's 0-255, inside from 128. */
export function fieldOf(width: number, height: number, bytes: ArrayLike<number>): Field {
  const table = Float32Array.from({ length: 256 }, (_, value) => Math.log((value + 0.5) / (255.5 - value)));
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = table[bytes[i] as number] as number;
  return { width, height, values };
}

/**
 * Raise (or lower) the field around a spot until the spot is inside (or outside). The push fades
 * towards `reach`, so the edge moves to where the model itself was closest to changing its mind.
 */
export function nudge(field: Field, at: Point, reach: number, grow: boolean): Field {
  const { width, height } = field;
  const values = field.values.slice();
  const sign = grow ? 1 : -1;
  const column = Math.min(Math.max(Math.floor(at[0]), 0), width - 1);
  const row = Math.min(Math.max(Math.floor(at[1]), 0), height - 1);
  const push = Math.max(PAST - sign * (values[row * width + column] as number), LEAST);
  const [top, bottom] = [Math.max(0, Math.ceil(at[1] - reach)), Math.min(height - 1, Math.floor(at[1] + reach))];
  const [left, right] = [Math.max(0, Math.ceil(at[0] - reach)), Math.min(width - 1, Math.floor(at[0] + reach))];
  for (let r = top; r <= bottom; r++) {
    for (let c = left; c <= right; c++) {
      const far = ((c - column) ** 2 + (r - row) ** 2) / reach ** 2;
      if (far < 1) values[r * width + c] = (values[r * width + c] as number) + sign * push * (1 - far) ** 2;
    }
  }
  return { width, height, values };
}

/** What a closed line goes around becomes inside, or outside (even-odd). */
export function fill(field: Field, line: readonly Point[], inside: boolean): Field {
  const { width, height } = field;
  const values = field.values.slice();
  const rows = line.map((point) => point[1]);
  const [top, bottom] = [Math.max(0, Math.floor(Math.min(...rows))), Math.min(height - 1, Math.ceil(Math.max(...rows)))];
  for (let r = top; r <= bottom; r++) {
    const edges = crossings(line, r + 0.5);
    for (let i = 0; i + 1 < edges.length; i += 2) {
      const from = Math.max(0, Math.ceil((edges[i] as number) - 0.5));
      const until = Math.min(width - 1, Math.floor((edges[i + 1] as number) - 0.5));
      for (let c = from; c <= until; c++) values[r * width + c] = inside ? SURE : -SURE;
    }
  }
  return { width, height, values };
}

function crossings(line: readonly Point[], row: number): number[] {
  return line
    .flatMap(([column, r], i) => {
      const [next, below] = line[(i + 1) % line.length] as Point;
      return r <= row !== below <= row ? [column + ((row - r) * (next - column)) / (below - r)] : [];
    })
    .sort((a, b) => a - b);
}

/** Run lengths of the mask, row by row, beginning with those outside. */
export function runs(field: Field): number[] {
  const found: number[] = [];
  let inside = false;
  let length = 0;
  for (const value of field.values) {
    if (value >= 0 === inside) length++;
    else {
      found.push(length);
      inside = !inside;
      length = 1;
    }
  }
  return [...found, length];
}

/** Overlap of two masks of one grid, 0-1; two empty ones agree. */
export function dice(one: Field, other: Field): number {
  let both = 0;
  let total = 0;
  for (let i = 0; i < one.values.length; i++) {
    const a = (one.values[i] as number) >= 0;
    const b = (other.values[i] as number) >= 0;
    both += a && b ? 1 : 0;
    total += Number(a) + Number(b);
  }
  return total ? (2 * both) / total : 1;
}

/** Where the field passes 0, as closed lines of (row, column), scaled to the film (marching squares). */
export function contours(field: Field, filmWidth: number, filmHeight: number): [number, number][][] {
  const { width, height } = field;
  const [across, down] = [filmWidth / width, filmHeight / height];
  const at = (c: number, r: number): number => (c < 0 || r < 0 || c >= width || r >= height ? -1 : (field.values[r * width + c] as number));
  const next = new Map<number, number>(); // from edge to edge, the inside on the right
  const stride = 2 * (width + 2);
  const across0 = (c: number, r: number): number => (r + 1) * stride + 2 * (c + 1); // between (c, r) and (c + 1, r)
  const down0 = (c: number, r: number): number => across0(c, r) + 1; // between (c, r) and (c, r + 1)
  for (let r = -1; r < height; r++) {
    for (let c = -1; c < width; c++) {
      const code = Number(at(c, r) >= 0) | (Number(at(c + 1, r) >= 0) << 1) | (Number(at(c + 1, r + 1) >= 0) << 2) | (Number(at(c, r + 1) >= 0) << 3);
      if (code === 0 || code === 15) continue;
      const edges = [across0(c, r), down0(c + 1, r), across0(c, r + 1), down0(c, r)];
      for (const [from, to] of CELLS[code] as readonly [number, number][]) next.set(edges[from] as number, edges[to] as number);
    }
  }
  const point = (edge: number): [number, number] => {
    const r = Math.floor(edge / stride) - 1;
    const c = Math.floor((edge % stride) / 2) - 1;
    const vertical = edge % 2 === 1;
    const [a, b] = [at(c, r), vertical ? at(c, r + 1) : at(c + 1, r)];
    const share = a / (a - b);
    const [column, row] = vertical ? [c, r + share] : [c + share, r];
    return [Math.round((row + 0.5) * down * 10) / 10, Math.round((column + 0.5) * across * 10) / 10];
  };
  const lines: [number, number][][] = [];
  while (next.size) {
    const line: [number, number][] = [];
    let edge = next.keys().next().value as number;
    while (next.has(edge)) {
      line.push(point(edge));
      const after = next.get(edge) as number;
      next.delete(edge);
      edge = after;
    }
    lines.push(line);
  }
  return lines;
}

// Edges of a cell (top, right, bottom, left) that a line joins, by which corners are inside.
const CELLS: readonly (readonly [number, number][])[] = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
