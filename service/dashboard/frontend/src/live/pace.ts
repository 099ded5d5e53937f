// How long a page waits before it renews itself: a large hospital has news every second.

/** Whether news is of something shown, may bring something onto the page, or is of no interest. */
export type Concern = "here" | "near" | "elsewhere";

const QUIET_MS = 400; // a study brings several pieces of news at once
// Between two renewals at least; fifty pages hear the same at one moment and must not come at once.
const PACE = {
  here: { apart: 1500, spread: 300 },
  near: { apart: 10_000, spread: 3000 }, // what may come onto the page by its order
};

/**
 * Milliseconds from hearing to renewing; Infinity for news of no interest.
 *
 * @param since milliseconds since the last renewal
 * @param chance in [0, 1): where in the spread this page comes
 */
export function waitBefore(concern: Concern, since: number, chance: number): number {
  if (concern === "elsewhere") return Infinity;
  const { apart, spread } = PACE[concern];
  return Math.max(QUIET_MS, apart - since) + spread * chance;
}
