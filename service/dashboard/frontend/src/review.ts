// The review page: verdicts by key, contours bent with help from the model's field.

import { pageData, required } from "./data";
import { addShortcuts } from "./keys";
import { Drawing, type Stroke } from "./review/drawing";
import { fieldOf, type Field } from "./review/field";
import { drawMarks, type Marks } from "./review/layer";
import type { StudyData, Tool } from "./viewer/data";
import { filmKeys } from "./viewer/keys";
import type { Spot } from "./viewer/measure";
import { loadGrey } from "./viewer/overlays";
import { Viewer } from "./viewer/viewer";

interface ReviewData {
  viewer: StudyData;
  field_url: string | null; // where the field of a structure is, by its name; null: nothing to redraw
}

const STROKES: Record<string, Stroke> = { g: "grow", x: "cut", l: "draw", e: "erase" };
const SAYS: Record<Stroke, string> = {
  grow: "Grow the contour to a click", cut: "Cut the contour back from a click", draw: "Draw around what belongs to it", erase: "Draw around what does not",
};

function all<T extends Element>(selector: string): T[] {
  return [...document.querySelectorAll<T>(selector)];
}

function click(selector: string): void {
  document.querySelector<HTMLElement>(selector)?.click();
}

/** A value chosen is a correction; a verdict other than that leaves no value behind. */
function bindVerdicts(): void {
  for (const row of all<HTMLFieldSetElement>(".verdict")) {
    const select = required<HTMLSelectElement>("select", row);
    const radios = [...row.querySelectorAll<HTMLInputElement>("input[type=radio]")];
    const shown = (): void => void select.classList.toggle("value-used", select.value !== "");
    select.addEventListener("change", () => {
      for (const radio of radios) radio.checked = select.value !== "" && radio.value === "corrected";
      shown();
    });
    for (const radio of radios) {
      radio.addEventListener("change", () => {
        if (radio.value !== "corrected") select.value = "";
        else if (!select.value) select.focus();
        shown();
      });
    }
    shown();
  }
  document.querySelector("[data-accept]")?.addEventListener("click", (event) => {
    event.preventDefault(); // without this script the button keeps the review at once
    acceptRest();
  });
}

function acceptRest(): void {
  for (const row of all<HTMLFieldSetElement>(".verdict")) {
    if (row.querySelector("input:checked")) continue;
    const accept = row.querySelector<HTMLInputElement>('input[value="accepted"]');
    if (accept) accept.checked = true;
  }
}

function bindView(viewer: Viewer): void {
  const actions: Record<string, () => void> = {
    invert: () => viewer.invert(), fit: () => viewer.fit(), reset: () => viewer.reset(), in: () => viewer.zoom(1.25), out: () => viewer.zoom(0.8),
  };
  for (const button of all<HTMLButtonElement>("[data-do]")) button.addEventListener("click", () => actions[button.dataset["do"] ?? ""]?.());
  addShortcuts([
    ...filmKeys(viewer),
    { keys: ["r"], says: "Reset window and zoom", run: () => viewer.reset() },
    { keys: ["a"], says: "Accept every score that has no verdict yet", run: acceptRest },
  ]);
}

async function loadField(url: string): Promise<Field> {
  const { width, height, values } = await loadGrey(url);
  return fieldOf(width, height, values);
}

/** The contours of the page: which structure, which stroke, and the marks over the film. */
class Table {
  private stroke: Stroke | null = null;
  private readonly marks: Marks = { hover: null, reach: 0, line: [], mark: null };
  private readonly drawing: Drawing;
  private readonly layer = required<HTMLCanvasElement>("[data-pen-layer]");
  private readonly structure = required<HTMLSelectElement>("select[data-structure]");
  private readonly reach = required<HTMLInputElement>("[data-reach]");
  private line: Spot[] = [];
  private finger: Spot | null = null; // where a finger on the film will act when it leaves

  constructor(private readonly viewer: Viewer, private readonly canvas: HTMLCanvasElement, private readonly data: StudyData, private readonly fieldUrl: string) {
    this.drawing = new Drawing(data.film);
    this.layer.hidden = false;
    this.bind();
    this.show();
  }

  use(tool: Tool | Stroke): void {
    const stroke = Object.values(STROKES).find((one) => one === tool) ?? null;
    this.stroke = stroke;
    this.line = [];
    this.marks.mark = null;
    this.viewer.pen = stroke
      ? {
          start: (spot, touch) => this.began(spot, touch), move: (spot) => this.moved(spot), end: () => this.ended(),
          cancel: () => this.cancelled(), hover: (spot) => this.hovered(spot),
        }
      : null;
    if (!stroke) this.viewer.use(tool as Tool);
    for (const button of all<HTMLButtonElement>("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
    for (const button of all<HTMLButtonElement>("[data-pen]")) button.setAttribute("aria-pressed", String(button.dataset["pen"] === tool));
    if (stroke) void this.loaded();
    this.paint();
  }

  undo(): void {
    this.drawing.undo(this.name);
    this.show();
  }

  /** Marks follow the film when it moves. */
  paint(): void {
    const circle = this.stroke === "grow" || this.stroke === "cut";
    drawMarks(this.layer, this.canvas, { ...this.marks, reach: circle ? this.reachPx : 0, line: this.line }, this.viewer.placed());
  }

  private get name(): string {
    return this.structure.value;
  }

  /** Reach in film pixels; where the film has no scale, 512 mm count as its width. */
  private get reachPx(): number {
    const { width, spacing_mm: spacing } = this.data.film;
    return Number(this.reach.value) / (spacing?.[1] ?? 512 / width);
  }

  private bind(): void {
    for (const button of all<HTMLButtonElement>("[data-pen]")) button.addEventListener("click", () => this.use(button.dataset["pen"] as Stroke));
    document.querySelector("[data-undo]")?.addEventListener("click", () => this.undo());
    document.querySelector("[data-restore]")?.addEventListener("click", () => {
      this.drawing.restore(this.name);
      this.show();
    });
    this.structure.addEventListener("change", () => {
      this.show();
      if (this.stroke) void this.loaded();
    });
    this.reach.addEventListener("input", () => {
      required<HTMLOutputElement>("[data-reach-value]").value = `${this.reach.value} mm`;
      this.paint();
    });
    this.canvas.addEventListener("pointerleave", () => this.hovered(null));
    this.canvas.addEventListener("keydown", (event) => this.pressed(event));
    document.querySelector("form[data-review]")?.addEventListener("submit", () => {
      required<HTMLInputElement>("input[name=contours]").value = this.drawing.names().length ? JSON.stringify(this.drawing.sent()) : "";
    });
  }

  private async loaded(): Promise<boolean> {
    const { name } = this;
    if (this.drawing.has(name)) return true;
    try {
      this.drawing.begin(name, await loadField(this.fieldUrl + name));
    } catch (error) {
      this.say(`The model's field could not be loaded: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
    this.show();
    return true;
  }

  /** A mouse acts where it is pressed; a finger where it leaves, for a second one may come to zoom. */
  private began(spot: Spot, touch: boolean): void {
    if (!touch || this.stroke === "draw" || this.stroke === "erase") return void this.started(spot);
    this.finger = this.marks.hover = spot;
    this.marks.mark = null;
    this.paint();
  }

  private async started(spot: Spot): Promise<void> {
    const { stroke } = this;
    this.marks.mark = null;
    if (stroke === "draw" || stroke === "erase") {
      this.line = [spot];
      await this.loaded();
    } else if (stroke && (await this.loaded())) {
      this.drawing.click(this.name, stroke, spot, this.reachPx);
      this.show();
    }
  }

  private moved(spot: Spot): void {
    this.marks.hover = spot;
    if (this.line.length) this.line.push(spot);
    if (this.finger) this.finger = spot;
    this.paint();
  }

  private cancelled(): void {
    this.line = [];
    this.finger = this.marks.hover = null;
    this.paint();
  }

  private hovered(spot: Spot | null): void {
    this.marks.hover = spot;
    this.paint();
  }

  private ended(): void {
    const { line, stroke, finger } = this;
    this.line = [];
    if (finger) {
      this.cancelled();
      return void this.started(finger);
    }
    if ((stroke === "draw" || stroke === "erase") && line.length > 2 && this.drawing.has(this.name)) this.drawing.enclose(this.name, stroke, line);
    this.show();
  }

  /** Arrows move a mark (Shift: further), Enter or the space bar acts where it is. */
  private pressed(event: KeyboardEvent): void {
    if (this.stroke !== "grow" && this.stroke !== "cut") return;
    const step = (event.shiftKey ? 32 : 8) / this.viewer.placed().zoom;
    const by: Record<string, Spot> = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const { width, height } = this.data.film;
    const mark = this.marks.mark ?? [width / 2, height / 2];
    const move = by[event.key];
    if (move) this.marks.mark = this.marks.hover = [Math.min(Math.max(mark[0] + move[0], 0), width), Math.min(Math.max(mark[1] + move[1], 0), height)];
    else if (event.key === "Enter" || event.key === " ") void this.started(mark).then(() => this.keepMark(mark));
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.paint();
  }

  private keepMark(mark: Spot): void {
    this.marks.mark = mark;
    this.paint();
  }

  private say(text: string): void {
    required("[data-drawn]").textContent = text;
  }

  /** The scene and the words say what is drawn. */
  private show(): void {
    const { name, drawing } = this;
    const { scene } = this.viewer;
    scene.shownOutlines = new Set([name, ...drawing.names()]);
    if (drawing.has(name)) {
      const label = this.data.labels.find(([known]) => known === name)?.[1] ?? name;
      const found = scene.outlines.find((outline) => outline.name === name);
      if (found) found.polylines = drawing.outline(name);
      else scene.outlines.push({ name, label, polylines: drawing.outline(name) });
    }
    const changed = drawing.changed(name);
    for (const button of all<HTMLButtonElement>("[data-undo], [data-restore]")) button.disabled = !changed;
    const others = drawing.names().length - Number(changed);
    const more = others ? ` ${others} other ${others === 1 ? "structure is" : "structures are"} redrawn.` : "";
    this.say((changed ? `Redrawn: overlap with the model ${drawing.overlap(name).toFixed(3)} (Dice).` : this.stroke ? "The model's contour, unchanged." : "Choose Grow, Cut, Draw or Erase above the film.") + more);
    this.viewer.changed();
    this.paint();
  }
}

function bindTools(use: (tool: Tool | Stroke) => void, table: Table | null): void {
  for (const button of all<HTMLButtonElement>("[data-tool]")) button.addEventListener("click", () => use(button.dataset["tool"] as Tool));
  addShortcuts([
    { keys: ["w"], says: "Drag sets window and level", run: () => use("window") },
    { keys: ["p"], says: "Drag moves the film (Shift and drag always does)", run: () => use("pan") },
  ]);
  if (!table) return;
  addShortcuts([
    ...Object.entries(STROKES).map(([key, stroke]) => ({ keys: [key], says: SAYS[stroke], run: () => use(stroke) })),
    { keys: ["u"], says: "Undo the last stroke", run: () => click("[data-undo]") },
    { keys: ["Enter"], says: "On the film, with Grow or Cut: act at the mark that the arrows move", run: () => undefined },
  ]);
}

async function start(data: ReviewData): Promise<void> {
  const canvas = required<HTMLCanvasElement>("canvas[data-viewer]");
  canvas.hidden = false;
  let table: Table | null = null;
  const viewer = await Viewer.open(canvas, data.viewer, (scene) => {
    document.querySelector('[data-do="invert"]')?.setAttribute("aria-pressed", String(scene.inverted));
    const { level, width } = scene.window;
    required("[data-readout]").textContent = `Window ${width.toFixed(2)} · level ${level.toFixed(2)} of full scale · zoom ${scene.view.scale.toFixed(2)}×`;
    table?.paint();
  });
  document.querySelector("img.still")?.remove();
  document.querySelector("[data-tools]")?.removeAttribute("hidden");
  await viewer.loadOverlays();
  bindView(viewer);
  if (data.field_url) {
    document.querySelector("[data-needs-script]")?.removeAttribute("hidden");
    table = new Table(viewer, canvas, data.viewer, data.field_url);
  }
  const plain = (tool: Tool | Stroke): void => {
    viewer.use(tool as Tool);
    for (const button of all<HTMLButtonElement>("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
  };
  const drawn = table;
  bindTools(drawn ? (tool) => drawn.use(tool) : plain, drawn);
  canvas.dataset["ready"] = "1";
}

bindVerdicts();
const data = pageData<ReviewData>("review");
if (data) {
  start(data).catch((error: unknown) => {
    const waiting = required<HTMLElement>("[data-waiting]");
    waiting.hidden = false;
    waiting.textContent = `The viewer could not start: ${error instanceof Error ? error.message : String(error)}`;
  });
}
