// The viewer: a scene, a canvas, and what may be done to them.

import type { Contours, FilmSource, Mode, StudyData, Tool } from "./data";
import { decode, moved, usualWindow } from "./film";
import { attach } from "./gestures";
import { lengthOf, type Spot } from "./measure";
import { coloured, differenceColour, heatColour, loadGrey, pathOf, roomIn, type Outline } from "./overlays";
import { draw } from "./painter";
import { layout, panelAt, type Panel } from "./panels";
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
    const then = zone.was === null ? "" : `prior ${zone.was.toFixed(1)}`;
    return at ? [{ at, text: `${zone.score.toFixed(1)} /3`, then, boundary: { name: zone.name, label: zone.label, polylines } }] : [];
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

const REACH_PX = { mouse: 10, touch: 26 }; // within which an end of a ruler is taken up, CSS pixels
const SLIP_PX = 4; // a shorter ruler was not meant
const STEP_PX = { near: 4, far: 32 }; // of the mark, on the screen

/** Takes what dragging does while it is there; places are (column, row) on the film. */
export interface Pen {
  start: (spot: Spot, touch: boolean) => void;
  move: (spot: Spot) => void;
  end: () => void;
  cancel: () => void; // what was begun was not meant
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
    if ((mode === "swipe" || mode === "blink") && !scene.aligned && data.aligned) {
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

  /** Choose what dragging does; chosen by key, the ruler shows the mark that the arrows move. */
  use(tool: Tool, byKey = false): void {
    this.scene.tool = tool;
    if (tool === "measure") this.showMark(byKey);
    else this.leaveMark();
    this.changed();
  }

  /** The magnifier on or off; without a pointer over the film it looks at the mark. */
  loupe(byKey = false): void {
    this.scene.loupe = !this.scene.loupe;
    if (this.scene.loupe) this.showMark(byKey);
    else this.leaveMark();
    this.changed();
  }

  /** Take the last ruler off. */
  removeRuler(): void {
    this.scene.rulers.removeLast();
    this.changed();
  }

  /** The length of the last ruler in words, "" without one. */
  measured(): string {
    const { last } = this.scene.rulers;
    if (!last) return "";
    const picture = last.side === "prior" && this.scene.prior ? this.scene.prior : this.scene.current;
    return lengthOf(last.from, last.to, picture.spacingMm);
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
    scene.rulers.clear();
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

  private filmSpot(x: number, y: number): Spot {
    return toFilm(this.placed(), x * this.ratio, y * this.ratio);
  }

  private panel(x: number): Panel {
    return panelAt(this.scene, this.canvas.width, this.canvas.height, x * this.ratio);
  }

  /** The middle of what is seen of the film. */
  private middle(): Spot {
    const { film } = this.scene.current;
    return [this.scene.view.x * film.width, this.scene.view.y * film.height];
  }

  /** A hand that works with keys needs a mark, and the arrows. */
  private showMark(byKey: boolean): void {
    if (!byKey) return;
    this.canvas.focus({ preventScroll: true });
    if (!this.scene.pointer) this.scene.mark ??= this.middle();
  }

  /** The mark goes when nothing needs it any more, and a ruler that nobody finished. */
  private leaveMark(): void {
    const { scene } = this;
    scene.rulers.cancel();
    if (scene.tool !== "measure" && !scene.loupe) scene.mark = null;
  }

  private listen(): void {
    attach(this.canvas, {
      start: (x, y, panning, touch) => this.started(x, y, panning, touch),
      drag: (dx, dy, x, y, panning) => this.dragged(dx, dy, x, y, panning),
      end: () => {
        this.pen?.end();
        this.ended();
      },
      cancel: () => {
        this.pen?.cancel();
        this.ended();
      },
      hold: (x, y) => this.held(x, y),
      pinch: (x, y, factor, dx, dy) => {
        this.zoom(factor, x * this.ratio, y * this.ratio);
        this.pan(dx * this.ratio, dy * this.ratio);
      },
      wheel: (x, y, factor) => this.zoom(factor, x * this.ratio, y * this.ratio),
      twice: () => (this.pen || this.scene.tool === "measure" ? undefined : this.reset()),
      hover: (x, y) => this.hovered(x, y),
      leave: () => this.left(),
    });
    this.canvas.addEventListener("keydown", (event) => this.pressed(event));
  }

  private started(x: number, y: number, panning: boolean, touch: boolean): void {
    if (this.pen && !panning) return this.pen.start(this.filmSpot(x, y), touch);
    this.point(x, y, touch);
    if (this.scene.tool !== "measure" || panning) return;
    const { side, placed } = this.panel(x);
    this.scene.mark = null;
    this.scene.rulers.begin(side, toFilm(placed, x * this.ratio, y * this.ratio), (touch ? REACH_PX.touch : REACH_PX.mouse) * this.ratio / placed.zoom);
    this.scene.loupeHeld = touch; // the finger hides what it points at
    this.changed();
  }

  private dragged(dx: number, dy: number, x: number, y: number, panning: boolean): void {
    const { scene } = this;
    if (scene.pointer) this.point(x, y, scene.pointer.touch);
    if (panning || (scene.tool === "pan" && !this.pen)) this.pan(dx * this.ratio, dy * this.ratio);
    else if (this.pen) this.pen.move(this.filmSpot(x, y));
    else if (scene.tool === "measure") this.stretch(x, y);
    else this.window(dx / 500, -dy / 500);
  }

  /** The moving end of a ruler stays in the film that it began in. */
  private stretch(x: number, y: number): void {
    const { moving } = this.scene.rulers;
    if (!moving) return;
    const { side, placed } = this.panel(x);
    if (side === moving.side) this.scene.rulers.move(toFilm(placed, x * this.ratio, y * this.ratio));
    this.changed();
  }

  private ended(): void {
    const { scene } = this;
    scene.rulers.finish((SLIP_PX * this.ratio) / this.placed().zoom);
    scene.loupeHeld = false;
    if (scene.pointer?.touch) scene.pointer = null;
    this.changed();
  }

  /** A finger that rests opens the loupe; a ruler has it open already, a pen goes on. */
  private held(x: number, y: number): void {
    if (this.pen) return this.pen.move(this.filmSpot(x, y));
    this.point(x, y, true);
    if (this.scene.tool === "measure") return this.stretch(x, y);
    this.scene.loupeHeld = true;
    this.changed();
  }

  private point(x: number, y: number, touch: boolean): void {
    this.scene.pointer = { x: x * this.ratio, y: y * this.ratio, touch };
  }

  private left(): void {
    this.scene.pointer = null;
    this.changed();
  }

  private hovered(x: number, y: number): void {
    this.pen?.hover(this.filmSpot(x, y));
    this.point(x, y, false);
    const { picture, placed, side } = this.panel(x);
    const [column, row] = toFilm(placed, x * this.ratio, y * this.ratio).map(Math.floor) as Spot;
    const { width, height, pixels } = picture.film;
    const inside = column >= 0 && row >= 0 && column < width && row < height;
    const names = side === "current" ? structuresAt(this.scene, column, row) : [];
    const grey = inside ? `Grey ${((pixels[row * width + column] as number) / 65535).toFixed(3)} of 1` : "";
    const under = [grey, ...names].filter(Boolean).join(" · ");
    if (this.scene.loupe) this.changed(under);
    else this.told(this.scene, under);
  }

  /** With the ruler or the loupe the arrows move a mark (Shift: further); Enter sets the ends of a ruler. */
  private pressed(event: KeyboardEvent): void {
    const { scene } = this;
    if (this.pen || !(scene.tool === "measure" || scene.loupe)) return;
    const by: Record<string, Spot> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = by[event.key];
    if (move) this.moveMark(move, event.shiftKey ? STEP_PX.far : STEP_PX.near);
    else if (event.key === "Enter" && scene.tool === "measure") this.setEnd();
    else if (event.key === "Escape") this.leaveMark();
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.changed();
  }

  private moveMark([columns, rows]: Spot, steps: number): void {
    const { scene } = this;
    const { width, height } = scene.current.film;
    const from = scene.mark ?? this.underPointer() ?? this.middle();
    const step = (steps * this.ratio) / this.placed().zoom;
    scene.mark = [Math.min(Math.max(from[0] + columns * step, 0), width), Math.min(Math.max(from[1] + rows * step, 0), height)];
    scene.pointer = null;
    scene.rulers.move(scene.mark);
  }

  private setEnd(): void {
    const { rulers } = this.scene;
    if (rulers.moving) return rulers.finish(1);
    this.scene.mark ??= this.underPointer() ?? this.middle();
    rulers.begin("current", this.scene.mark, 0);
  }

  private underPointer(): Spot | null {
    const { pointer } = this.scene;
    return pointer ? this.filmSpot(pointer.x / this.ratio, pointer.y / this.ratio) : null;
  }
}
