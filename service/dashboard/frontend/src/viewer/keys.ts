// The keys that move a film, on every page that has a viewer.

import type { Shortcut } from "../keys";
import type { Viewer } from "./viewer";

export function filmKeys(viewer: Viewer): Shortcut[] {
  return [
    { keys: ["i"], says: "Invert", run: () => viewer.invert() },
    { keys: ["f"], says: "Fit the whole film", run: () => viewer.fit() },
    { keys: ["+", "="], says: "Zoom in (or wheel, or two fingers)", run: () => viewer.zoom(1.25) },
    { keys: ["-"], says: "Zoom out", run: () => viewer.zoom(0.8) },
    { keys: ["ArrowLeft"], says: "Move the film", run: () => viewer.pan(40, 0) },
    { keys: ["ArrowRight"], says: "Move the film", run: () => viewer.pan(-40, 0) },
    { keys: ["ArrowUp"], says: "Move the film", run: () => viewer.pan(0, 40) },
    { keys: ["ArrowDown"], says: "Move the film", run: () => viewer.pan(0, -40) },
  ];
}
