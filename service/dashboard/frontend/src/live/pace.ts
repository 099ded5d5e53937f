// How long a page waits before it renews itself: a large hospital has news every second.

/** Whether news is of something shown, may bring something onto the page, or is of no interest. */
export type Concern = "here" | "near" | "elsewhere";

const QUIET_MS = 400; // a study brings several pieces of news at once
const SPREAD_MS = 300; // fifty pages hear the same at one moment and must not come at once
const HERE_MS = 1500; // between two renewals for what is shown
const NEAR_MS = 10_000; // between two renewals for what may come onto the page

/**
 * Milliseconds from hearing to renewing; Infinity for news of no interest.
 *
 * @param since milliseconds since the last renewal
 * @param chance in [0, 1): where in the spread this page comes
 */
export function waitBefore(concern: Concern, since: number, chance: number): number {
  if (concern === "elsewhere") return Infinity;
  const apart = concern === "here" ? HERE_MS : NEAR_MS;
  return Math.max(QUIET_MS, apart - since) + SPREAD_MS * chance;
}
