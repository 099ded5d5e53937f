// Everything that decides what the canvas shows; changed by the controls, read by the painter.

import type { Mode, Tool } from "./data";
import type { Film, Window } from "./film";
import { levels } from "./film";
import type { Spot } from "./measure";
import type { Outline } from "./overlays";
import { Rulers } from "./rulers";
import { WHOLE, type View } from "./view";

export class Picture {
  readonly levels: Film[];
  private readonly painted = new Map<number, { canvas: OffscreenCanvas; stamp: string }>();

  constructor(readonly film: Film, readonly spacingMm: readonly [number, number] | null, readonly caption: string) {
    this.levels = levels(film);
  }

  /** The canvas of a level, painted again only when the window changed. */
  canvas(level: number, stamp: string, paint: (film: Film, into: Uint32Array) => void): OffscreenCanvas {
    const film = this.levels[level] as Film;
    const kept = this.painted.get(level) ?? { canvas: new OffscreenCanvas(film.width, film.height), stamp: "" };
    if (kept.stamp !== stamp) {
      const context = kept.canvas.getContext("2d", { alpha: false });
      if (!context) throw new Error("expected a canvas with two dimensions, found none; use a newer browser");
      const data = context.createImageData(film.width, film.height);
      paint(film, new Uint32Array(data.data.buffer));
      context.putImageData(data, 0, 0);
      this.painted.set(level, { canvas: kept.canvas, stamp });
    }
    return kept.canvas;
  }
}

/** Where somebody points: on the canvas, in its pixels, with a finger or not. */
export interface Pointer {
  x: number;
  y: number;
  touch: boolean;
}

export interface Scene {
  current: Picture;
  prior: Picture | null;
  aligned: Picture | null;
  view: View;
  window: Window;
  usual: Window;
  priorWindow: Window | null; // the prior has its own exposure: its usual window, moved alongside
  inverted: boolean;
  mode: Mode;
  tool: Tool;
  swipe: number; // fraction of the panel's width
  heat: OffscreenCanvas | null;
  heatOpacity: number;
  difference: OffscreenCanvas | null;
  outlines: Outline[];
  shownOutlines: Set<string>;
  zoneMarks: { at: Spot; text: string; then: string; boundary: Outline }[];
  zonesShown: boolean;
  rulers: Rulers;
  mark: Spot | null; // on the current film: moved by the arrow keys
  pointer: Pointer | null;
  loupe: boolean; // follows the pointer, or the mark
  loupeHeld: boolean; // as long as a finger rests on the film
  blinkPrior: boolean; // which of the two is seen while they blink
}

export function newScene(current: Picture, usual: Window): Scene {
  return {
    current, prior: null, aligned: null, view: WHOLE, window: usual, usual, priorWindow: null, inverted: false,
    mode: "film", tool: "window", swipe: 0.5, heat: null, heatOpacity: 0, difference: null, outlines: [],
    shownOutlines: new Set(), zoneMarks: [], zonesShown: false, rulers: new Rulers(), mark: null,
    pointer: null, loupe: false, loupeHeld: false, blinkPrior: false,
  };
}
