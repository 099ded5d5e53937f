// Which film lies where on the canvas, and which of them is under a point.

import type { Window } from "./film";
import type { Side } from "./rulers";
import type { Picture, Scene } from "./scene";
import { place, type Placed, type Rect } from "./view";

const GAP = 4; // between two films side by side

export interface Layout {
  current: Rect;
  prior: Rect | null; // beside the current film
}

/** A film as it is seen at one place of the canvas. */
export interface Panel {
  picture: Picture;
  window: Window;
  placed: Placed;
  rect: Rect;
  side: Side;
}

export function layout(scene: Scene, width: number, height: number): Layout {
  if (scene.mode !== "beside" || !scene.prior) {
    return { current: { left: 0, top: 0, width, height }, prior: null };
  }
  const half = (width - GAP) / 2;
  return {
    prior: { left: 0, top: 0, width: half, height },
    current: { left: half + GAP, top: 0, width: half, height },
  };
}

/** What is seen under `x`: the prior beside, the aligned prior while it is swiped or blinks, else the film. */
export function panelAt(scene: Scene, width: number, height: number, x: number): Panel {
  const where = layout(scene, width, height);
  const priorWindow = scene.priorWindow ?? scene.window;
  if (where.prior && scene.prior && x < where.prior.width) return panelOf(scene, "prior", where, scene.prior, priorWindow);
  const swiped = scene.mode === "swipe" && x < where.current.left + where.current.width * scene.swipe;
  const blinked = scene.mode === "blink" && scene.blinkPrior;
  if (scene.aligned && (swiped || blinked)) return panelOf(scene, "current", where, scene.aligned, priorWindow);
  return panelOf(scene, "current", where, scene.current, scene.window);
}

function panelOf(scene: Scene, side: Side, where: Layout, picture: Picture, window: Window): Panel {
  const rect = side === "prior" && where.prior ? where.prior : where.current;
  return { picture, window, rect, side, placed: place(scene.view, picture.film, rect) };
}

/** The panels of the canvas; where films lie over each other, the current one stands for both. */
export function panels(scene: Scene, width: number, height: number): Panel[] {
  const where = layout(scene, width, height);
  const current = panelOf(scene, "current", where, scene.current, scene.window);
  if (!where.prior || !scene.prior) return [current];
  return [panelOf(scene, "prior", where, scene.prior, scene.priorWindow ?? scene.window), current];
}
