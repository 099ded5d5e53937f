// Blink: the aligned prior and the film take turns in one place, so that what moved jumps at the eye.
// At most 2.5 changes a second (WCAG 2.3.1); by hand alone where the system asks for less motion.

export const PACE_S = { least: 0.4, most: 2, usual: 0.7, step: 0.1 };

export interface Clock {
  every: (ms: number, run: () => void) => number;
  stop: (handle: number) => void;
}

const BROWSER: Clock = { every: (ms, run) => window.setInterval(run, ms), stop: (handle) => window.clearInterval(handle) };

export class Blink {
  prior = false; // which of the two is seen
  private handle: number | null = null;
  private shown = false;
  private wanted: boolean;
  private paceS = PACE_S.usual;

  /**
   * @param still the system asks for less motion: nothing moves by itself
   * @param told called after each change
   */
  constructor(private readonly still: boolean, private readonly told: () => void, private readonly clock: Clock = BROWSER) {
    this.wanted = !still;
  }

  get running(): boolean {
    return this.handle !== null;
  }

  get pace(): number {
    return this.paceS;
  }

  /** The mode was chosen or left; it begins with the film. */
  show(shown: boolean): void {
    if (shown === this.shown) return;
    this.shown = shown;
    this.prior = false;
    this.restart();
  }

  /** Seconds that each film is seen. */
  setPace(seconds: number): void {
    this.paceS = Math.min(Math.max(seconds, PACE_S.least), PACE_S.most);
    this.restart();
  }

  /** Pause or go on. */
  toggle(): void {
    this.wanted = !this.wanted && !this.still;
    this.restart();
  }

  /** The other film, by hand: it stays until somebody goes on. */
  step(): void {
    if (!this.shown) return;
    this.wanted = false;
    this.prior = !this.prior;
    this.restart();
  }

  private restart(): void {
    if (this.handle !== null) this.clock.stop(this.handle);
    this.handle = this.shown && this.wanted ? this.clock.every(1000 * this.paceS, () => this.turn()) : null;
    this.told();
  }

  private turn(): void {
    this.prior = !this.prior;
    this.told();
  }
}
