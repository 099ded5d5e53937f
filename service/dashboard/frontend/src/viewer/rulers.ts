// The rulers on a film: drawn by mouse, finger or keys; each end can be taken up again.

import type { Spot } from "./measure";

/** Which of two films that stand side by side; an aligned prior lies on the current film's grid. */
export type Side = "current" | "prior";

export interface Ruler {
  side: Side;
  from: Spot;
  to: Spot;
}

const MOST = 12; // more lines would hide the film: the oldest goes

function distance(a: Spot, b: Spot): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

export class Rulers {
  private list: Ruler[] = [];
  private open = false; // the last one's end still follows the hand

  get all(): readonly Ruler[] {
    return this.list;
  }

  /** The ruler whose end is moving. */
  get moving(): Ruler | null {
    return this.open ? (this.list[this.list.length - 1] ?? null) : null;
  }

  get last(): Ruler | null {
    return this.list[this.list.length - 1] ?? null;
  }

  /** Begin a ruler at `spot`, or take up an end that lies within `reach` film pixels of it. */
  begin(side: Side, spot: Spot, reach: number): void {
    const taken = this.endNear(side, spot, reach);
    if (taken) this.list = [...this.list.filter((one) => one !== taken.ruler), taken.turned];
    else this.list = [...this.list, { side, from: spot, to: spot }].slice(-MOST);
    this.open = true;
  }

  /** The moving end goes to `spot`. */
  move(spot: Spot): void {
    const { moving } = this;
    if (moving) this.list = [...this.list.slice(0, -1), { ...moving, to: spot }];
  }

  /** Let go; a ruler of less than `least` film pixels was a slip and goes. */
  finish(least: number): void {
    const { moving } = this;
    this.open = false;
    if (moving && distance(moving.from, moving.to) < least) this.removeLast();
  }

  /** Give up the ruler that is being drawn. */
  cancel(): void {
    if (this.open) this.removeLast();
  }

  removeLast(): void {
    this.open = false;
    this.list = this.list.slice(0, -1);
  }

  clear(): void {
    this.open = false;
    this.list = [];
  }

  private endNear(side: Side, spot: Spot, reach: number): { ruler: Ruler; turned: Ruler } | null {
    for (const ruler of [...this.list].reverse()) {
      if (ruler.side !== side) continue;
      if (distance(ruler.to, spot) <= reach) return { ruler, turned: ruler };
      if (distance(ruler.from, spot) <= reach) return { ruler, turned: { ...ruler, from: ruler.to, to: ruler.from } };
    }
    return null;
  }
}
