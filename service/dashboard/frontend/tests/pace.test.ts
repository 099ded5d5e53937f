// How often a page renews itself.

import { describe, expect, it } from "vitest";
import { waitBefore } from "../src/live/pace";

describe("the pace of renewals", () => {
  it("shows news of what is on the page within a second", () => {
    expect(waitBefore("here", Infinity, 0)).toBe(400);
    expect(waitBefore("here", Infinity, 0.999)).toBeLessThan(1000);
  });
  it("never renews more often than about twice in three seconds, however much arrives", () => {
    for (const since of [0, 300, 900, 1500]) expect(since + waitBefore("here", since, 0)).toBeGreaterThanOrEqual(1500);
  });
  it("takes news of others together", () => {
    for (const since of [0, 3000, 9000]) expect(since + waitBefore("near", since, 0)).toBe(since > 9600 ? since + 400 : Math.max(10_000, since + 400));
  });
  it("leaves alone what is of no interest", () => {
    expect(waitBefore("elsewhere", 0, 0)).toBe(Infinity);
  });
});
