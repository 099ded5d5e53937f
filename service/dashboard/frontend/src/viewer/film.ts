// A film at its full depth in the browser: 16-bit pixels, halved levels, window and level.

export interface Film {
  width: number;
  height: number;
  pixels: Uint16Array;
}

/** Window in fractions of full scale: `level` is the middle grey, `width` what spans black to white. */
export interface Window {
  level: number;
  width: number;
}

const FULL = 65535;
const SMALLEST_SIDE = 500; // no coarser level: smaller ones save nothing
const NARROWEST = 0.01;

/** Little-endian uint16 rows as the server sends them. */
export function decode(bytes: ArrayBuffer, width: number, height: number): Film {
  if (bytes.byteLength !== width * height * 2) {
    throw new Error(`expected ${width * height * 2} bytes of film, found ${bytes.byteLength}; load the page again`);
  }
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  if (little) return { width, height, pixels: new Uint16Array(bytes) };
  const view = new DataView(bytes);
  const pixels = new Uint16Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = view.getUint16(2 * i, true);
  return { width, height, pixels };
}

/** Half the size, each pixel the mean of four: what a film is drawn from when it is shown small. */
export function halve(film: Film): Film {
  const width = film.width >> 1;
  const height = film.height >> 1;
  const pixels = new Uint16Array(width * height);
  for (let row = 0; row < height; row++) {
    let top = 2 * row * film.width;
    let bottom = top + film.width;
    const start = row * width;
    for (let column = 0; column < width; column++, top += 2, bottom += 2) {
      const p = film.pixels;
      pixels[start + column] = ((p[top] as number) + (p[top + 1] as number) + (p[bottom] as number) + (p[bottom + 1] as number) + 2) >> 2;
    }
  }
  return { width, height, pixels };
}

export function levels(film: Film): Film[] {
  const all = [film];
  let last = film;
  while (Math.min(last.width, last.height) >= 2 * SMALLEST_SIDE) {
    last = halve(last);
    all.push(last);
  }
  return all;
}

/** The coarsest level that still has a pixel for each pixel of the screen. */
export function levelFor(zoom: number, count: number): number {
  const level = zoom >= 1 ? 0 : Math.floor(Math.log2(1 / zoom));
  return Math.min(Math.max(level, 0), count - 1);
}

/** Window that spans the 1st to the 99th percentile of what is not black. */
export function usualWindow(film: Film): Window {
  const counts = new Uint32Array(256);
  const step = Math.max(1, Math.floor(film.pixels.length / 200_000));
  let total = 0;
  for (let i = 0; i < film.pixels.length; i += step) {
    const bin = (film.pixels[i] as number) >> 8;
    if (bin === 0) continue;
    counts[bin] = (counts[bin] as number) + 1;
    total++;
  }
  const at = (share: number): number => {
    let sum = 0;
    for (let bin = 0; bin < 256; bin++) {
      sum += counts[bin] as number;
      if (sum > share * total) return (bin + 0.5) / 256;
    }
    return 1;
  };
  if (total === 0) return { level: 0.5, width: 1 };
  const low = at(0.01);
  const high = at(0.99);
  return { level: (low + high) / 2, width: Math.max(high - low, NARROWEST) };
}

export function moved(window: Window, widthBy: number, levelBy: number): Window {
  return {
    level: Math.min(Math.max(window.level + levelBy, 0), 1),
    width: Math.min(Math.max(window.width + widthBy, NARROWEST), 2),
  };
}

/** One RGBA word per 16-bit value: every step of the film is there before the window is applied. */
export function lookup(window: Window, inverted: boolean): Uint32Array {
  const table = new Uint32Array(FULL + 1);
  const low = (window.level - window.width / 2) * FULL;
  const gain = 255 / (window.width * FULL);
  for (let value = 0; value <= FULL; value++) {
    const grey = Math.min(Math.max((value - low) * gain, 0), 255);
    const shade = Math.round(inverted ? 255 - grey : grey);
    table[value] = (0xff000000 | (shade << 16) | (shade << 8) | shade) >>> 0;
  }
  return table;
}

export function paint(film: Film, table: Uint32Array, into: Uint32Array): void {
  const { pixels } = film;
  for (let i = 0; i < pixels.length; i++) into[i] = table[pixels[i] as number] as number;
}
