import { describe, expect, it } from "vitest";
import { fitZoom, pan, place, toFilm, WHOLE, zoomAbout } from "../src/viewer/view";

const FILM = { width: 2000, height: 2500 };
const RECT = { left: 400, top: 0, width: 800, height: 600 };

describe("the view", () => {
  it("shows the whole film, centred, when it fits", () => {
    const placed = place(WHOLE, FILM, RECT);
    expect(placed.zoom).toBe(fitZoom(FILM, RECT));
    expect(placed.top).toBeCloseTo(0);
    expect(placed.left + (FILM.width * placed.zoom) / 2).toBeCloseTo(800);
  });

  it("keeps what is under the pointer there while it zooms", () => {
    let view = WHOLE;
    const before = toFilm(place(view, FILM, RECT), 700, 250);
    for (const factor of [1.5, 2, 0.8]) view = zoomAbout(view, FILM, RECT, 700, 250, factor);
    const after = toFilm(place(view, FILM, RECT), 700, 250);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
  });

  it("moves with the hand", () => {
    const view = { scale: 3, x: 0.5, y: 0.5 };
    const [from, to] = [place(view, FILM, RECT), place(pan(view, FILM, RECT, 30, -12), FILM, RECT)];
    expect(to.left - from.left).toBeCloseTo(30);
    expect(to.top - from.top).toBeCloseTo(-12);
  });

  it("never loses the film", () => {
    expect(pan(WHOLE, FILM, RECT, 1e6, -1e6)).toEqual({ scale: 1, x: 0, y: 1 });
  });
});
