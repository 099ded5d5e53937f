// Where names of events stand when several lie close together: each on the first line that is free.

/** What a name covers from left to right, in any one unit. */
export interface Span {
  from: number;
  to: number;
}

/** Lines, from 0 at the top, in the order of the names; none covers another on its line. */
export function lines(spans: Span[]): number[] {
  const taken: Span[][] = [];
  return spans.map((span) => {
    const free = taken.findIndex((row) => row.every((other) => span.to <= other.from || span.from >= other.to));
    const line = free < 0 ? taken.length : free;
    (taken[line] ??= []).push(span);
    return line;
  });
}
