import { describe, expect, it } from "vitest";
import { columns, lastBefore } from "../src/charts/band";
import { mergeOrder } from "../src/live/order";
import { lengthOf, scaleBar } from "../src/viewer/measure";
import { differenceColour, heatColour, roomIn, styleOf } from "../src/viewer/overlays";

describe("the order of the worklist", () => {
  it("does not change while somebody points at it, and says that it would", () => {
    expect(mergeOrder(["a", "b"], ["b", "a", "c"], true)).toEqual({ order: ["a", "b"], pending: true });
    expect(mergeOrder(["a", "b"], ["a", "b"], true).pending).toBe(false);
  });

  it("is the server's as soon as nobody does", () => {
    expect(mergeOrder(["a", "b"], ["b", "c"], false)).toEqual({ order: ["b", "c"], pending: false });
  });
});

describe("the ruler", () => {
  it("takes rows and columns with their own spacing", () => {
    expect(lengthOf([0, 0], [30, 40], [0.2, 0.1])).toBe("8.5 mm at the detector");
  });

  it("says pixels where the film has no spacing", () => {
    expect(lengthOf([0, 0], [3, 4], null)).toContain("5 px");
  });

  it("draws a round length that fits", () => {
    expect(scaleBar(0.5, 250)).toEqual({ mm: 100, pixels: 200 });
  });
});

describe("a chart", () => {
  const points = [0, 3600, 20000].map((at) => ({ at, value: at, low: null, high: null }));

  it("reads the last value before a moment, none that is too old", () => {
    expect(lastBefore(points, 4000, 3600)?.at).toBe(3600);
    expect(lastBefore(points, 12000, 3600)).toBeNull();
  });

  it("breaks its line where values are missing", () => {
    expect(columns(points, 7200)[1]).toEqual([0, 3600, null, 20000]);
  });
});

describe("overlays", () => {
  it("show nothing where there is no heat and no difference", () => {
    expect(heatColour(0)[3]).toBe(0);
    expect(differenceColour(128)[3]).toBe(0);
    expect(differenceColour(255).slice(0, 3)).not.toEqual(differenceColour(0).slice(0, 3));
  });

  it("give each of the twenty structures its own line", () => {
    const styles = Array.from({ length: 20 }, (_, i) => JSON.stringify(styleOf(i)));
    expect(new Set(styles).size).toBe(20);
  });

  it("put a zone's score inside its boundary, where there is room", () => {
    const square: [number, number][][] = [[[0, 0], [30, 0], [30, 30], [0, 30]]];
    expect(roomIn(square)).toEqual([15, 15]);
    const bow: [number, number][][] = [[[0, 0], [0, 60], [60, 60], [60, 50], [12, 45], [12, 15], [60, 10], [60, 0]]];
    expect(roomIn(bow)).toEqual([30, 10]); // above the notch, not in it
    expect(roomIn([])).toBeNull();
  });
});
