import { describe, expect, it } from "vitest";
import { crop, lensAt, loupeZoom } from "../src/viewer/loupe";
import type { Spot } from "../src/viewer/measure";

const SIZE = { width: 800, height: 600 };
const film = { width: 7, height: 5, pixels: Uint16Array.from({ length: 35 }, (_, i) => 1000 * i + 1) };

describe("the loupe", () => {
  it("is never coarser than the film's own pixels and always stronger than the view", () => {
    for (const seen of [0.05, 0.3, 0.5, 0.9, 2, 40]) {
      expect(loupeZoom(seen)).toBeGreaterThanOrEqual(1);
      expect(loupeZoom(seen)).toBeGreaterThan(seen);
    }
    expect(loupeZoom(0.25)).toBe(1); // native
  });

  it("shows the film's own 16 bits, wherever it is held", () => {
    for (const spot of [[0, 0], [3.4, 2.2], [6.9, 4.9], [-1, 2], [9, 9]] as Spot[]) {
      const piece = crop(film, spot, 2);
      for (let row = 0; row < piece.film.height; row++) {
        for (let column = 0; column < piece.film.width; column++) {
          expect(piece.film.pixels[row * piece.film.width + column]).toBe(film.pixels[(piece.top + row) * film.width + piece.left + column]);
        }
      }
    }
    expect(crop(film, [3, 2], 100).film).toEqual(film);
    expect(crop(film, [90, 2], 3).film.pixels.length).toBe(0);
  });

  it("follows the pointer, and stands clear of a finger", () => {
    expect(lensAt(300, 200, SIZE, 1, 0.5, false)).toMatchObject({ x: 300, y: 200 });
    for (const [x, y] of [[300, 500], [300, 20], [2, 300], [799, 590]] as const) {
      const lens = lensAt(x, y, SIZE, 1, 0.5, true);
      expect(Math.abs(lens.y - y)).toBeGreaterThan(lens.radius);
      expect(lens.x - lens.radius).toBeGreaterThanOrEqual(0);
      expect(lens.x + lens.radius).toBeLessThanOrEqual(SIZE.width);
    }
  });
});
