// A ruler. Lengths are those at the detector: a projection magnifies what is far from it.

export type Spot = [number, number]; // column, row of the film

/** Millimetres where the spacing (row, column) is known, else pixels. */
export function lengthOf(from: Spot, to: Spot, spacingMm: readonly [number, number] | null): string {
  const [columns, rows] = [to[0] - from[0], to[1] - from[1]];
  if (!spacingMm) return `${Math.hypot(columns, rows).toFixed(0)} px (no pixel spacing in the film)`;
  const mm = Math.hypot(columns * spacingMm[1], rows * spacingMm[0]);
  return `${mm.toFixed(1)} mm at the detector`;
}

/** A round length for a scale bar of at most `most` screen pixels. */
export function scaleBar(mmPerPixel: number, most: number): { mm: number; pixels: number } {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200];
  const mm = [...steps].reverse().find((step) => step / mmPerPixel <= most) ?? 1;
  return { mm, pixels: mm / mmPerPixel };
}
