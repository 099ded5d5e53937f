import { expect, test } from "vitest";

import { lines, type Span } from "../src/charts/labels";

test("names that lie apart share the first line", () => {
  expect(lines([{ from: 0, to: 10 }, { from: 10, to: 20 }, { from: 30, to: 40 }])).toEqual([0, 0, 0]);
});

test("no name covers another on its line, whatever their order", () => {
  const spans: Span[] = Array.from({ length: 40 }, (_, i) => ({ from: (i * 37) % 100, to: ((i * 37) % 100) + 12 }));
  const placed = lines(spans);
  spans.forEach((one, i) =>
    spans.slice(0, i).forEach((other, j) => {
      if (placed[i] === placed[j]) expect(one.to <= other.from || one.from >= other.to).toBe(true);
    }),
  );
});

test("a line that became free is used again", () => {
  expect(lines([{ from: 0, to: 10 }, { from: 5, to: 15 }, { from: 11, to: 20 }])).toEqual([0, 1, 0]);
});
