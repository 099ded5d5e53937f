// One structure after another, bent by the reader: strokes, undo, what is sent with the form.

import type { Contours } from "../viewer/data";
import { contours, dice, fill, nudge, runs, type Field, type Point } from "./field";

export type Stroke = "grow" | "cut" | "draw" | "erase";

const MOST_STEPS = 30; // a field takes two megabytes

interface Drawn {
  model: Field;
  steps: Field[]; // the last one is what is shown
}

export class Drawing {
  private readonly drawn = new Map<string, Drawn>();

  constructor(private readonly film: { width: number; height: number }) {}

  has(name: string): boolean {
    return this.drawn.has(name);
  }

  begin(name: string, model: Field): void {
    if (!this.has(name)) this.drawn.set(name, { model, steps: [] });
  }

  /** Film pixels per pixel of the field, across. */
  scale(name: string): number {
    return this.film.width / this.one(name).model.width;
  }

  click(name: string, stroke: "grow" | "cut", spot: Point, reach: number): void {
    const scale = this.scale(name);
    this.push(name, nudge(this.now(name), this.onField(name, spot), Math.max(2, reach / scale), stroke === "grow"));
  }

  enclose(name: string, stroke: "draw" | "erase", line: readonly Point[]): void {
    if (line.length < 3) return;
    this.push(name, fill(this.now(name), line.map((spot) => this.onField(name, spot)), stroke === "draw"));
  }

  undo(name: string): void {
    this.drawn.get(name)?.steps.pop();
  }

  restore(name: string): void {
    const one = this.drawn.get(name);
    if (one) one.steps = [];
  }

  changed(name: string): boolean {
    return (this.drawn.get(name)?.steps.length ?? 0) > 0;
  }

  outline(name: string): Contours[string] {
    return contours(this.now(name), this.film.width, this.film.height);
  }

  overlap(name: string): number {
    return dice(this.now(name), this.one(name).model);
  }

  names(): string[] {
    return [...this.drawn.keys()].filter((name) => this.changed(name));
  }

  /** What the server is sent: masks as run lengths, of the structures that were changed. */
  sent(): Record<string, { height: number; width: number; runs: number[] }> {
    return Object.fromEntries(
      this.names().map((name) => {
        const field = this.now(name);
        return [name, { height: field.height, width: field.width, runs: runs(field) }];
      }),
    );
  }

  private one(name: string): Drawn {
    const found = this.drawn.get(name);
    if (!found) throw new Error(`expected ${name} to be loaded, found nothing`);
    return found;
  }

  private now(name: string): Field {
    const { model, steps } = this.one(name);
    return steps.at(-1) ?? model;
  }

  private push(name: string, field: Field): void {
    const { steps } = this.one(name);
    steps.push(field);
    if (steps.length > MOST_STEPS) steps.splice(0, 1);
  }

  private onField(name: string, [column, row]: Point): Point {
    const { width, height } = this.one(name).model;
    return [(column * width) / this.film.width, (row * height) / this.film.height];
  }
}
