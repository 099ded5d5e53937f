// Where a film lies on the screen. The view is kept in fractions of the film, so that two films of
// different sizes move together.

export interface View {
  scale: number; // 1: the whole film fits
  x: number; // the fraction of the film's width that lies in the middle
  y: number;
}

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Placed {
  zoom: number; // screen pixels per film pixel
  left: number; // of the film's first column on the screen
  top: number;
}

export interface Size {
  width: number;
  height: number;
}

export const WHOLE: View = { scale: 1, x: 0.5, y: 0.5 };
const LEAST = 0.5;
const MOST = 40;

export function fitZoom(film: Size, rect: Rect): number {
  return Math.min(rect.width / film.width, rect.height / film.height);
}

export function place(view: View, film: Size, rect: Rect): Placed {
  const zoom = fitZoom(film, rect) * view.scale;
  return {
    zoom,
    left: rect.left + rect.width / 2 - view.x * film.width * zoom,
    top: rect.top + rect.height / 2 - view.y * film.height * zoom,
  };
}

/** Film pixel (column, row) under a point of the screen. */
export function toFilm(placed: Placed, x: number, y: number): [number, number] {
  return [(x - placed.left) / placed.zoom, (y - placed.top) / placed.zoom];
}

export function pan(view: View, film: Size, rect: Rect, byX: number, byY: number): View {
  const { zoom } = place(view, film, rect);
  return bounded({ ...view, x: view.x - byX / (zoom * film.width), y: view.y - byY / (zoom * film.height) });
}

/** Zoom by `factor`; what lies under (x, y) stays there. */
export function zoomAbout(view: View, film: Size, rect: Rect, x: number, y: number, factor: number): View {
  const before = toFilm(place(view, film, rect), x, y);
  const scale = Math.min(Math.max(view.scale * factor, LEAST), MOST);
  const after = toFilm(place({ ...view, scale }, film, rect), x, y);
  return bounded({
    scale,
    x: view.x + (before[0] - after[0]) / film.width,
    y: view.y + (before[1] - after[1]) / film.height,
  });
}

function bounded(view: View): View {
  const clamp = (value: number): number => Math.min(Math.max(value, 0), 1);
  return { scale: view.scale, x: clamp(view.x), y: clamp(view.y) };
}
