import { describe, expect, it } from "vitest";
import { Blink, PACE_S, type Clock } from "../src/viewer/blink";

class Hand implements Clock {
  ms: number | null = null;
  private run: () => void = () => undefined;
  every = (ms: number, run: () => void): number => {
    [this.ms, this.run] = [ms, run];
    return 1;
  };
  stop = (): void => void (this.ms = null);
  tick(): void {
    if (this.ms !== null) this.run();
  }
}

function blinking(still = false): { blink: Blink; clock: Hand } {
  const clock = new Hand();
  const blink = new Blink(still, () => undefined, clock);
  blink.show(true);
  return { blink, clock };
}

describe("blink", () => {
  it("begins with the film and shows both in turns until another mode is chosen", () => {
    const { blink, clock } = blinking();
    expect(blink.prior).toBe(false);
    clock.tick();
    expect(blink.prior).toBe(true);
    clock.tick();
    expect(blink.prior).toBe(false);
    blink.show(false);
    expect(blink.running).toBe(false);
  });

  it("stays at the film that was chosen by hand, and goes on when asked", () => {
    const { blink, clock } = blinking();
    blink.step();
    clock.tick();
    expect(blink.prior).toBe(true);
    blink.toggle();
    expect(blink.running).toBe(true);
  });

  it("never flashes more than three times a second", () => {
    const { blink, clock } = blinking();
    for (const seconds of [-1, 0, 0.1, 0.5, 9]) {
      blink.setPace(seconds);
      expect(clock.ms).toBeGreaterThanOrEqual(1000 * PACE_S.least);
      expect(1 / (2 * blink.pace)).toBeLessThanOrEqual(3);
    }
  });

  it("moves by hand alone where the system asks for less motion", () => {
    const { blink, clock } = blinking(true);
    blink.toggle();
    expect(clock.ms).toBeNull();
    blink.step();
    expect(blink.prior).toBe(true);
  });

  it("does nothing where it is not shown", () => {
    const blink = new Blink(false, () => undefined, new Hand());
    blink.step();
    expect(blink.prior).toBe(false);
    expect(blink.running).toBe(false);
  });
});
