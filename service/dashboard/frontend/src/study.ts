// The study page: the viewer with its controls, shortcuts and words.

import { pageData, required } from "./data";
import { addShortcuts } from "./keys";
import { about, follow } from "./live/news";
import { fetchPage, timeOf } from "./live/parts";
import type { Mode, StudyData, Tool } from "./viewer/data";
import { filmKeys } from "./viewer/keys";
import { styleOf } from "./viewer/overlays";
import type { Scene } from "./viewer/scene";
import { Viewer } from "./viewer/viewer";

const MODES: Record<string, Mode> = { o: "film", b: "beside", s: "swipe", d: "difference" };
const TOOLS: Record<string, Tool> = { w: "window", p: "pan", m: "measure" };

function all<T extends Element>(selector: string): T[] {
  return [...document.querySelectorAll<T>(selector)];
}

/** The controls say what the scene is, whoever changed it. */
function tell(scene: Scene, under: string): void {
  for (const button of all<HTMLButtonElement>("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset["mode"] === scene.mode));
  for (const button of all<HTMLButtonElement>("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset["tool"] === scene.tool));
  document.querySelector('[data-do="invert"]')?.setAttribute("aria-pressed", String(scene.inverted));
  const readout = document.querySelector("[data-readout]");
  if (readout) {
    const { level, width } = scene.window;
    const zoom = `${scene.view.scale.toFixed(2)}×`;
    readout.textContent = `Window ${width.toFixed(2)} · level ${level.toFixed(2)} of full scale · zoom ${zoom}${scene.inverted ? " · inverted" : ""}${under ? `\n${under}` : ""}`;
  }
  const slider = document.querySelector<HTMLInputElement>("[data-swipe]");
  if (slider) slider.hidden = scene.mode !== "swipe";
  for (const corner of all<HTMLElement>("[data-when-mode]")) corner.hidden = !(corner.dataset["whenMode"] ?? "").split(" ").includes(scene.mode);
}

function bindButtons(viewer: Viewer, show: (mode: Mode) => void): void {
  const actions: Record<string, () => void> = {
    invert: () => viewer.invert(), fit: () => viewer.fit(), actual: () => viewer.actualSize(), reset: () => viewer.reset(),
    in: () => viewer.zoom(1.25), out: () => viewer.zoom(0.8),
  };
  for (const button of all<HTMLButtonElement>("[data-mode]")) button.addEventListener("click", () => show(button.dataset["mode"] as Mode));
  for (const button of all<HTMLButtonElement>("[data-tool]")) button.addEventListener("click", () => viewer.use(button.dataset["tool"] as Tool));
  for (const button of all<HTMLButtonElement>("[data-do]")) button.addEventListener("click", () => actions[button.dataset["do"] ?? ""]?.());
}

function bindOverlays(viewer: Viewer): void {
  const { scene } = viewer;
  const heat = document.querySelector<HTMLInputElement>("[data-heat]");
  const setHeat = (): void => {
    if (!heat) return;
    scene.heatOpacity = Number(heat.value) / 100;
    const output = document.querySelector<HTMLOutputElement>("[data-heat-value]");
    if (output) output.value = heat.value === "0" ? "off" : `${heat.value} %`;
    viewer.changed();
  };
  heat?.addEventListener("input", setHeat);
  setHeat();
  const boxes = all<HTMLInputElement>("[data-structure]");
  boxes.forEach((box, i) => {
    const key = box.parentElement?.querySelector<HTMLElement>(".key");
    const { colour, dash } = styleOf(i);
    if (key) key.style.background = dash.length ? `repeating-linear-gradient(90deg, ${colour} 0 ${dash[0]}px, transparent ${dash[0]}px ${(dash[0] ?? 0) + (dash[1] ?? 0)}px)` : colour;
    const set = (): void => {
      const name = box.dataset["structure"] ?? "";
      if (box.checked) scene.shownOutlines.add(name);
      else scene.shownOutlines.delete(name);
      viewer.changed();
    };
    box.addEventListener("change", set);
    set();
  });
  const zones = document.querySelector<HTMLInputElement>("[data-zones]");
  zones?.addEventListener("change", () => {
    scene.zonesShown = zones.checked;
    viewer.changed();
  });
  const swipe = document.querySelector<HTMLInputElement>("[data-swipe]");
  swipe?.addEventListener("input", () => {
    scene.swipe = Number(swipe.value) / 100;
    viewer.changed();
  });
}

function click(selector: string): void {
  document.querySelector<HTMLElement>(selector)?.click();
}

function bindKeys(viewer: Viewer, show: (mode: Mode) => void): void {
  const enabled = (mode: Mode): boolean => !document.querySelector<HTMLButtonElement>(`[data-mode="${mode}"]`)?.disabled;
  const words: Record<Mode, string> = { film: "This film only", beside: "Prior beside this film", swipe: "Swipe over the aligned prior", difference: "Difference to the aligned prior" };
  const tools: Record<Tool, string> = { window: "Drag sets window and level", pan: "Drag moves the film (Shift and drag always does)", measure: "Drag measures" };
  const heat = document.querySelector<HTMLInputElement>("[data-heat]");
  let kept = "60";
  addShortcuts([
    ...Object.entries(MODES).map(([key, mode]) => ({ keys: [key], says: words[mode], run: () => (enabled(mode) ? show(mode) : undefined) })),
    ...Object.entries(TOOLS).map(([key, tool]) => ({ keys: [key], says: tools[tool], run: () => viewer.use(tool) })),
    ...filmKeys(viewer),
    { keys: ["1"], says: "One film pixel to one screen pixel", run: () => viewer.actualSize() },
    { keys: ["r"], says: "Reset window, zoom and measure (or double-click)", run: () => viewer.reset() },
    {
      keys: ["h"], says: "Heat map on or off",
      run: () => {
        if (!heat) return;
        if (heat.value !== "0") kept = heat.value;
        heat.value = heat.value === "0" ? kept : "0";
        heat.dispatchEvent(new Event("input"));
      },
    },
    { keys: ["c"], says: "All contours on or off", run: () => click("[data-all-structures]") },
    { keys: ["z"], says: "Zone scores on or off", run: () => click("[data-zones]") },
    { keys: ["[", "]"], says: "Swipe towards the prior or the current film", run: () => undefined },
  ]);
  document.addEventListener("keydown", (event) => {
    const swipe = document.querySelector<HTMLInputElement>("[data-swipe]");
    if (!swipe || !["[", "]"].includes(event.key)) return;
    swipe.value = String(Number(swipe.value) + (event.key === "[" ? -5 : 5));
    swipe.dispatchEvent(new Event("input"));
  });
}

async function start(data: StudyData): Promise<void> {
  const canvas = required<HTMLCanvasElement>("canvas[data-viewer]");
  const waiting = required<HTMLElement>("[data-waiting]");
  const say = (text: string): void => {
    waiting.textContent = text;
    waiting.hidden = !text;
  };
  say("Loading the film…");
  canvas.hidden = false;
  const viewer = await Viewer.open(canvas, data, tell);
  document.querySelector("img.still")?.remove();
  document.querySelector<HTMLElement>("[data-tools]")?.removeAttribute("hidden");
  say("");
  const show = (mode: Mode): void => {
    say(mode === "film" ? "" : "Loading…");
    viewer.show(mode).then(() => say("")).catch((error: unknown) => say(`${error instanceof Error ? error.message : String(error)}; load the page again`));
  };
  bindButtons(viewer, show);
  bindOverlays(viewer);
  bindKeys(viewer, show);
  document.querySelector("[data-all-structures]")?.addEventListener("click", () => {
    const boxes = all<HTMLInputElement>("[data-structure]:not(:disabled)");
    const on = !boxes.some((box) => box.checked);
    for (const box of boxes) {
      box.checked = on;
      box.dispatchEvent(new Event("change"));
    }
  });
  await viewer.loadOverlays();
  canvas.dataset["ready"] = "1";
}

const data = pageData<StudyData>("study");
if (data) {
  start(data).catch((error: unknown) => {
    const waiting = document.querySelector<HTMLElement>("[data-waiting]");
    if (!waiting) return;
    waiting.hidden = false;
    waiting.textContent = `The viewer could not start: ${error instanceof Error ? error.message : String(error)}`;
  });
}

// A new result must not swap the film under the reader: it is offered. The first one is shown.
follow(async () => {
  const page = await fetchPage();
  const shown = document.body.dataset["result"] ?? "";
  const newest = page.body.dataset["result"] ?? "";
  if (!shown && newest) location.reload();
  const notice = document.querySelector<HTMLElement>("[data-amended]");
  if (notice) notice.hidden = shown === newest;
  return timeOf(page);
}, about(document.body.dataset["patient"]));
