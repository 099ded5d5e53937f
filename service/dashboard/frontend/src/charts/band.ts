// Pure parts of the charts: which values belong to a moment, and how wide an axis must be.

export interface Point {
  at: number; // epoch seconds
  value: number;
  low: number | null;
  high: number | null;
}

/** The last point at or before `at` that is not older than `within_s`; null where there is none. */
export function lastBefore(points: readonly Point[], at: number, within_s: number): Point | null {
  let found: Point | null = null;
  for (const point of points) {
    if (point.at > at) break;
    found = point;
  }
  return found && at - found.at <= within_s ? found : null;
}

/** Columns for uPlot: times and three rows of values on them, nulls where a gap breaks the line. */
export function columns(points: readonly Point[], gap_s: number): [number[], (number | null)[], (number | null)[], (number | null)[]] {
  const at: number[] = [];
  const value: (number | null)[] = [];
  const low: (number | null)[] = [];
  const high: (number | null)[] = [];
  for (const point of points) {
    const last = at[at.length - 1];
    if (last !== undefined && point.at - last > gap_s) {
      at.push(last + gap_s / 2);
      for (const row of [value, low, high]) row.push(null);
    }
    at.push(point.at);
    value.push(point.value);
    low.push(point.low);
    high.push(point.high);
  }
  return [at, value, low, high];
}
