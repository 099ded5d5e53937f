// The viewer: a scene, a canvas, and what may be done to them.

import type { Contours, FilmSource, Mode, StudyData, Tool } from "./data";
import { decode, moved, usualWindow } from "./film";
import { attach } from "./gestures";
import type { Spot } from "./measure";
import { coloured, differenceColour, heatColour, loadGrey, pathOf, roomIn, type Outline } from "./overlays";
import { draw, layout } from "./painter";
import { newScene, Picture, type Scene } from "./scene";
import { fitZoom, pan, place, toFilm, WHOLE, zoomAbout, type Placed, type Rect } from "./view";

async function loadPicture(source: FilmSource): Promise<Picture> {
  const answer = await fetch(source.url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`expected the film, found status ${answer.status}`);
  const film = decode(await answer.arrayBuffer(), source.width, source.height);
  return new Picture(film, source.spacing_mm, source.caption);
}

/** Scores stand within the boundaries of the zones that were scored; without a boundary nowhere. */
function zoneMarks(data: StudyData, boundaries: Contours): Scene["zoneMarks"] {
  return data.zones.flatMap((zone) => {
    const polylines = boundaries[zone.name] ?? [];
    const at = roomIn(polylines);
    return at ? [{ at, text: `${zone.score.toFixed(1)} /3`, boundary: { name: zone.name, label: zone.label, polylines } }] : [];
  });
}

async function loadContours(url: string): Promise<Contours> {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`expected contours, found status ${answer.status}`);
  return (await answer.json()) as Contours;
}

/** Names of the shown structures under the pointer: colours and dashes alone are no key. */
function structuresAt(scene: Scene, column: number, row: number): string[] {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const shown = scene.outlines.filter((outline) => scene.shownOutlines.has(outline.name));
  return shown.filter((outline) => context?.isPointInPath(pathOf(outline), column, row)).map((outline) => outline.label);
}

/** Takes what dragging does while it is there; places are (column, row) on the film. */
export interface Pen {
  start: (spot: Spot) => void;
  move: (spot: Spot) => void;
  hover: (spot: Spot) => void;
}

export class Viewer {
  pen: Pen | null = null;
  private waiting = false;
  private wanted: Mode = "film";

  private constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly data: StudyData,
    readonly scene: Scene,
    private readonly told: (scene: Scene, under: string) => void,
  ) {
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    this.listen();
  }

  static async open(canvas: HTMLCanvasElement, data: StudyData, told: (scene: Scene, under: string) => void): Promise<Viewer> {
    const picture = await loadPicture(data.film);
    return new Viewer(canvas, data, newScene(picture, usualWindow(picture.film)), told);
  }

  /** Overlays come after the film: a reader never waits for them. */
  async loadOverlays(): Promise<void> {
    const { data, scene } = this;
    if (data.contours_url) {
      const contours = await loadContours(data.contours_url);
      scene.outlines = data.labels.map(([name, words]): Outline => ({ name, label: words, polylines: contours[name] ?? [] }));
    }
    if (data.zones_url) scene.zoneMarks = zoneMarks(data, await loadContours(data.zones_url));
    if (data.heat_url) scene.heat = coloured(await loadGrey(data.heat_url), heatColour);
    this.changed();
  }

  private async ready(mode: Mode): Promise<void> {
    const { data, scene } = this;
    if (mode === "beside" && !scene.prior && data.prior) {
      scene.prior = await loadPicture(data.prior);
      scene.priorWindow ??= this.beside(scene.prior);
    }
    if (mode === "swipe" && !scene.aligned && data.aligned) {
      const { width, height, spacing_mm } = data.film;
      scene.aligned = await loadPicture({ url: data.aligned.url, width, height, spacing_mm, caption: data.aligned.caption });
      scene.priorWindow ??= this.beside(scene.aligned);
    }
    if (mode === "difference" && !scene.difference && data.difference_url) {
      scene.difference = coloured(await loadGrey(data.difference_url), differenceColour);
    }
  }

  private beside(picture: Picture): Scene["window"] {
    const usual = usualWindow(picture.film);
    const { window, usual: own } = this.scene;
    return moved(usual, window.width - own.width, window.level - own.level);
  }

  /** The last mode asked for wins, whichever pictures arrive first. */
  async show(mode: Mode): Promise<void> {
    this.wanted = mode;
    await this.ready(mode);
    if (this.wanted !== mode) return;
    this.scene.mode = mode;
    this.changed();
  }

  use(tool: Tool): void {
    this.scene.tool = tool;
    if (tool !== "measure") this.scene.ruler = null;
    this.changed();
  }

  invert(): void {
    this.scene.inverted = !this.scene.inverted;
    this.changed();
  }

  fit(): void {
    this.scene.view = WHOLE;
    this.changed();
  }

  actualSize(): void {
    this.scene.view = { ...this.scene.view, scale: 1 / fitZoom(this.scene.current.film, this.rect()) };
    this.changed();
  }

  reset(): void {
    const { scene } = this;
    scene.view = WHOLE;
    scene.window = scene.usual;
    const picture = scene.aligned ?? scene.prior;
    scene.priorWindow = picture ? usualWindow(picture.film) : null;
    scene.inverted = false;
    scene.ruler = null;
    this.changed();
  }

  window(widthBy: number, levelBy: number): void {
    const { scene } = this;
    scene.window = moved(scene.window, widthBy, levelBy);
    if (scene.priorWindow) scene.priorWindow = moved(scene.priorWindow, widthBy, levelBy);
    this.changed();
  }

  zoom(factor: number, x = this.canvas.width / 2, y = this.canvas.height / 2): void {
    this.scene.view = zoomAbout(this.scene.view, this.scene.current.film, this.rect(x, y), x, y, factor);
    this.changed();
  }

  pan(byX: number, byY: number): void {
    this.scene.view = pan(this.scene.view, this.scene.current.film, this.rect(), byX, byY);
    this.changed();
  }

  /** Something of the scene changed: draw it with the next frame. */
  changed(under = ""): void {
    this.told(this.scene, under);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      draw(this.canvas, this.scene);
    });
  }

  /** Where the current film lies on the canvas, in its pixels. */
  placed(): Placed {
    return place(this.scene.view, this.scene.current.film, this.rect());
  }

  private get ratio(): number {
    return devicePixelRatio || 1;
  }

  private rect(x = Infinity, _y = 0): Rect {
    const where = layout(this.scene, this.canvas.width, this.canvas.height);
    return where.prior && x < where.prior.width ? where.prior : where.current;
  }

  private resize(): void {
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * this.ratio));
    this.changed();
  }

  private filmSpot(x: number, y: number): [number, number] {
    return toFilm(this.placed(), x * this.ratio, y * this.ratio);
  }

  private listen(): void {
    attach(this.canvas, {
      start: (x, y, panning) => {
        if (this.pen && !panning) this.pen.start(this.filmSpot(x, y));
        else if (this.scene.tool === "measure" && !panning) this.scene.ruler = { from: this.filmSpot(x, y), to: this.filmSpot(x, y) };
      },
      drag: (dx, dy, x, y, panning) => this.dragged(dx, dy, x, y, panning),
      pinch: (x, y, factor, dx, dy) => {
        this.zoom(factor, x * this.ratio, y * this.ratio);
        this.pan(dx * this.ratio, dy * this.ratio);
      },
      wheel: (x, y, factor) => this.zoom(factor, x * this.ratio, y * this.ratio),
      twice: () => (this.pen ? undefined : this.reset()),
      hover: (x, y) => this.hovered(x, y),
    });
  }

  private dragged(dx: number, dy: number, x: number, y: number, panning: boolean): void {
    const { scene } = this;
    if (panning || (scene.tool === "pan" && !this.pen)) this.pan(dx * this.ratio, dy * this.ratio);
    else if (this.pen) this.pen.move(this.filmSpot(x, y));
    else if (scene.tool === "measure" && scene.ruler) {
      scene.ruler = { ...scene.ruler, to: this.filmSpot(x, y) };
      this.changed();
    } else this.window(dx / 500, -dy / 500);
  }

  private hovered(x: number, y: number): void {
    this.pen?.hover(this.filmSpot(x, y));
    const [column, row] = this.filmSpot(x, y).map(Math.floor) as [number, number];
    const { width, height, pixels } = this.scene.current.film;
    const inside = column >= 0 && row >= 0 && column < width && row < height;
    const names = structuresAt(this.scene, column, row);
    const grey = inside ? `Grey ${((pixels[row * width + column] as number) / 65535).toFixed(3)} of 1` : "";
    this.told(this.scene, [grey, ...names].filter(Boolean).join(" · "));
  }
}
