import { describe, expect, it } from "vitest";
import { contours, dice, fieldOf, fill, nudge, runs, type Field } from "../src/review/field";

/** A disc whose probability falls off slowly to the right and at once to the left. */
function disc(size = 64): Field {
  const bytes = new Uint8Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const far = Math.hypot(column - 32, row - 32);
      bytes[row * size + column] = far < 12 ? 230 : column > 32 && far < 22 ? 110 : 4;
    }
  }
  return fieldOf(size, size, bytes);
}

const inside = (field: Field, column: number, row: number): boolean => (field.values[row * field.width + column] as number) >= 0;
const area = (field: Field): number => field.values.reduce((sum, value) => sum + Number(value >= 0), 0);

describe("the field", () => {
  it("is inside from 128 of 255 on", () => {
    const field = fieldOf(4, 1, [0, 127, 128, 255]);
    expect([...field.values].map((value) => value >= 0)).toEqual([false, false, true, true]);
  });

  it("grows to the click, where the model was undecided, and not where it was sure", () => {
    const before = disc();
    const after = nudge(before, [48, 32], 12, true);
    expect(inside(before, 48, 32)).toBe(false);
    expect(inside(after, 48, 32)).toBe(true);
    expect(inside(after, 51, 32)).toBe(true); // undecided: comes along
    expect(inside(after, 56, 32)).toBe(false); // within reach, but the model was sure
    expect(area(after)).toBeGreaterThan(area(before));
  });

  it("is cut back from the click", () => {
    const after = nudge(disc(), [24, 32], 10, false);
    expect(inside(after, 24, 32)).toBe(false);
    expect(inside(after, 36, 32)).toBe(true);
  });

  it("changes nothing beyond the reach, nor what it was made from", () => {
    const before = disc();
    const kept = before.values.slice();
    const after = nudge(before, [48, 32], 8, true);
    expect(before.values).toEqual(kept);
    after.values.forEach((value, i) => {
      if (Math.hypot((i % 64) - 48, Math.floor(i / 64) - 32) >= 8) expect(value).toBe(kept[i]);
    });
  });

  it("takes a click beyond the film at its edge", () => {
    expect(() => nudge(disc(), [-5, 900], 10, true)).not.toThrow();
  });

  it("is filled or emptied where a line goes around", () => {
    const square = [[2, 2], [10, 2], [10, 10], [2, 10]] as const;
    const filled = fill(disc(), square, true);
    expect(area(filled) - area(disc())).toBe(64);
    expect(area(fill(filled, square, false))).toBe(area(disc()));
  });
});

describe("the mask", () => {
  it("is told in runs that begin outside and fill the grid", () => {
    expect(runs({ width: 3, height: 2, values: Float32Array.of(1, 1, -1, -1, 1, -1) })).toEqual([0, 2, 2, 1, 1]);
    expect(runs(disc()).reduce((a, b) => a + b)).toBe(64 * 64);
  });

  it("agrees with itself, and an empty one with an empty one", () => {
    const empty: Field = { width: 2, height: 1, values: Float32Array.of(-1, -1) };
    expect(dice(disc(), disc())).toBe(1);
    expect(dice(empty, empty)).toBe(1);
    expect(dice(disc(), nudge(disc(), [48, 32], 12, true))).toBeLessThan(1);
  });
});

describe("the contour", () => {
  it("is one closed line around the disc, on the film's grid", () => {
    const lines = contours(disc(), 128, 128);
    expect(lines).toHaveLength(1);
    for (const [row, column] of lines[0] as [number, number][]) {
      expect(Math.abs(Math.hypot(row - 65, column - 65) - 24)).toBeLessThan(3);
    }
  });

  it("closes at the film's edge and keeps holes and islands apart", () => {
    const full: Field = { width: 8, height: 8, values: new Float32Array(64).fill(2) };
    expect(contours(full, 8, 8)).toHaveLength(1);
    const holed = fill(full, [[3, 3], [5, 3], [5, 5], [3, 5]], false);
    expect(contours(holed, 8, 8)).toHaveLength(2);
  });
});
