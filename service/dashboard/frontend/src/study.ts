// The study page: the viewer with its controls, shortcuts and words.

import { pageData, required } from "./data";
import { addShortcuts } from "./keys";
import { about, follow } from "./live/news";
import { fetchPage, timeOf } from "./live/parts";
import { Blink, PACE_S } from "./viewer/blink";
import type { Mode, StudyData, Tool } from "./viewer/data";
import { filmKeys } from "./viewer/keys";
import { styleOf } from "./viewer/overlays";
import type { Scene } from "./viewer/scene";
import { Viewer } from "./viewer/viewer";

const MODES: Record<string, Mode> = { o: "film", b: "beside", s: "swipe", k: "blink", d: "difference" };
const WORDS: Record<Mode, string> = {
  film: "This film only", beside: "Prior beside this film", swipe: "Swipe over the aligned prior",
  blink: "Blink: aligned prior and film in turns; again to pause", difference: "Difference to the aligned prior",
};
const TOOL_WORDS: Record<Tool, string> = {
  window: "Drag sets window and level", pan: "Drag moves the film (Shift and drag always does)",
  measure: "Drag measures; arrows move a mark (Shift: further), Enter sets each end",
};
const TOOLS: Record<string, Tool> = { w: "window", p: "pan", m: "measure" };

function all<T extends Element>(selector: string): T[] {
  return [...document.querySelectorAll<T>(selector)];
}

/** The controls say what the scene is, whoever changed it. */
function tell(scene: Scene, under: string): void {
  for (const button of all<HTMLButtonElement>("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset["mode"] === scene.mode));
  for (const button of all<HTMLButtonElement>("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset["tool"] === scene.tool));
  document.querySelector('[data-do="invert"]')?.setAttribute("aria-pressed", String(scene.inverted));
  document.querySelector('[data-do="loupe"]')?.setAttribute("aria-pressed", String(scene.loupe));
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
    in: () => viewer.zoom(1.25), out: () => viewer.zoom(0.8), loupe: () => viewer.loupe(),
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

/** The controls of the blink: pause, the other film, pace. */
function bindBlink(viewer: Viewer, still: boolean): Blink {
  const [pause, other] = ["[data-blink-pause]", "[data-blink-step]"].map((name) => document.querySelector<HTMLButtonElement>(name));
  const pace = document.querySelector<HTMLInputElement>("[data-blink-pace]");
  const blink: Blink = new Blink(still, () => {
    viewer.scene.blinkPrior = blink.prior;
    if (pause) pause.textContent = blink.running ? "Pause" : "Go on";
    for (const word of all<HTMLElement>("[data-blink-shown]")) word.hidden = (word.dataset["blinkShown"] === "prior") !== blink.prior;
    viewer.changed();
  });
  const setPace = (seconds: number): void => {
    blink.setPace(seconds);
    if (pace) pace.value = String(blink.pace);
    const output = document.querySelector<HTMLOutputElement>("[data-blink-value]");
    if (output) output.value = `${blink.pace.toFixed(1)} s`;
  };
  pause?.addEventListener("click", () => blink.toggle());
  other?.addEventListener("click", () => stepBlink(blink));
  pace?.addEventListener("input", () => setPace(Number(pace.value)));
  for (const control of all<HTMLElement>("[data-blink-moves]")) control.hidden = still;
  addShortcuts([
    { keys: ["x"], says: "Blink by hand: the other film", run: () => stepBlink(blink) },
    { keys: ["["], says: "Swipe towards the prior, or blink faster", run: () => (viewer.scene.mode === "blink" ? setPace(blink.pace - PACE_S.step) : swipeBy(-5)) },
    { keys: ["]"], says: "Swipe towards the current film, or blink slower", run: () => (viewer.scene.mode === "blink" ? setPace(blink.pace + PACE_S.step) : swipeBy(5)) },
  ]);
  return blink;
}

/** A step by hand is told to who does not see it; the turns of the clock are not. */
function stepBlink(blink: Blink): void {
  blink.step();
  tellAloud(blink.prior ? "Prior film" : "This film");
}

function tellAloud(words: string): void {
  const status = document.querySelector("[data-told]");
  if (status) status.textContent = words;
}

function swipeBy(steps: number): void {
  const swipe = document.querySelector<HTMLInputElement>("[data-swipe]");
  if (!swipe) return;
  swipe.value = String(Number(swipe.value) + steps);
  swipe.dispatchEvent(new Event("input"));
}

function click(selector: string): void {
  document.querySelector<HTMLElement>(selector)?.click();
}

function bindKeys(viewer: Viewer, show: (mode: Mode) => void, blink: Blink): void {
  const enabled = (mode: Mode): boolean => !document.querySelector<HTMLButtonElement>(`[data-mode="${mode}"]`)?.disabled;
  const choose = (mode: Mode): void => {
    if (mode === "blink" && viewer.scene.mode === "blink") blink.toggle();
    else if (enabled(mode)) show(mode);
  };
  const heat = document.querySelector<HTMLInputElement>("[data-heat]");
  let kept = "60";
  addShortcuts([
    ...Object.entries(MODES).map(([key, mode]) => ({ keys: [key], says: WORDS[mode], run: () => choose(mode) })),
    ...Object.entries(TOOLS).map(([key, tool]) => ({ keys: [key], says: TOOL_WORDS[tool], run: () => viewer.use(tool, true) })),
    { keys: ["l"], says: "Loupe on or off (a finger that rests opens it); arrows move it", run: () => viewer.loupe(true) },
    { keys: ["Delete", "Backspace"], says: "Take the last ruler off", run: () => viewer.removeRuler() },
    ...filmKeys(viewer),
    { keys: ["1"], says: "One film pixel to one screen pixel", run: () => viewer.actualSize() },
    { keys: ["r"], says: "Reset window, zoom and rulers (or double-click)", run: () => viewer.reset() },
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
  ]);
  const canvas = document.querySelector<HTMLElement>("canvas[data-viewer]");
  for (const done of ["keyup", "pointerup"] as const) {
    canvas?.addEventListener(done, (event) => {
      const measured = viewer.scene.tool === "measure" && (!(event instanceof KeyboardEvent) || event.key === "Enter");
      if (measured) tellAloud(viewer.measured());
    });
  }
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
  const blink = bindBlink(viewer, matchMedia("(prefers-reduced-motion: reduce)").matches);
  const show = (mode: Mode): void => {
    say(mode === "film" ? "" : "Loading…");
    viewer.show(mode).then(() => {
      blink.show(viewer.scene.mode === "blink");
      say("");
    }).catch((error: unknown) => say(`${error instanceof Error ? error.message : String(error)}; load the page again`));
  };
  bindButtons(viewer, show);
  bindOverlays(viewer);
  bindKeys(viewer, show, blink);
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
