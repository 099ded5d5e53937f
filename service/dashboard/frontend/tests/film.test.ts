import { describe, expect, it } from "vitest";
import { decode, halve, levelFor, levels, lookup, moved, paint, usualWindow, type Film } from "../src/viewer/film";

function film(width: number, height: number, value: (i: number) => number): Film {
  return { width, height, pixels: Uint16Array.from({ length: width * height }, (_, i) => value(i)) };
}

describe("a film", () => {
  it("comes out of little-endian bytes with every step of its depth", () => {
    expect([...decode(Uint8Array.from([1, 0, 0, 1, 255, 255, 2, 1]).buffer, 2, 2).pixels]).toEqual([1, 256, 65535, 258]);
  });

  it("of the wrong size is an error that says what was expected and found", () => {
    expect(() => decode(new ArrayBuffer(6), 2, 2)).toThrow("expected 8 bytes of film, found 6");
  });

  it("keeps its mean when it is halved, and stays black when black", () => {
    const small = halve(film(4, 4, (i) => i * 100));
    expect([small.width, small.height]).toEqual([2, 2]);
    expect(small.pixels.reduce((a, b) => a + b) / 4).toBe(750);
    expect(halve(film(4, 4, () => 0)).pixels.every((v) => v === 0)).toBe(true);
  });

  it("has levels that end before they get too coarse", () => {
    const all = levels(film(2048, 1200, () => 1));
    expect(all.map((one) => one.width)).toEqual([2048, 1024]);
    expect(levelFor(2, all.length)).toBe(0);
    expect(levelFor(0.5, all.length)).toBe(1);
    expect(levelFor(0.01, all.length)).toBe(1);
  });
});

describe("window and level", () => {
  it("show two neighbouring 16-bit values differently when the window is narrow", () => {
    const table = lookup({ level: 0.5, width: 0.01 }, false);
    expect(table[32768]).not.toBe(table[32768 + 3]);
  });

  it("turn round exactly when inverted", () => {
    const [plain, turned] = [lookup({ level: 0.4, width: 0.5 }, false), lookup({ level: 0.4, width: 0.5 }, true)];
    for (const value of [0, 9000, 26214, 40000, 65535]) {
      expect(((plain[value] as number) & 255) + ((turned[value] as number) & 255)).toBeCloseTo(255, -0.5);
    }
  });

  it("never leave their bounds", () => {
    expect(moved({ level: 0.9, width: 0.1 }, -5, 5)).toEqual({ level: 1, width: 0.01 });
  });

  it("of a film that is all black are the whole scale", () => {
    expect(usualWindow(film(8, 8, () => 0))).toEqual({ level: 0.5, width: 1 });
  });

  it("paint opaque grey", () => {
    const into = new Uint32Array(4);
    paint(film(2, 2, () => 65535), lookup({ level: 0.5, width: 1 }, false), into);
    expect(into[0]).toBe(0xffffffff);
  });
});
