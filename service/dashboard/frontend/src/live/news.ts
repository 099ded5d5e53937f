// Server-sent events: tells when something is new, and says so when it can no longer tell.

import { waitBefore, type Concern } from "./pace";

const KINDS = ["result", "risk", "patient", "study", "reset"] as const;
const REFRESH_MS = 60_000; // ages grow even when nothing new arrives

export interface News {
  patient_id?: string;
}

function patientOf(event: MessageEvent<unknown>): string | undefined {
  try {
    return (JSON.parse(String(event.data)) as News).patient_id;
  } catch {
    return undefined;
  }
}

function say(state: "on" | "off" | "wait", text: string): void {
  const element = document.querySelector<HTMLElement>("[data-live]");
  if (!element) return;
  element.dataset["state"] = state;
  const words = element.querySelector("span");
  if (words) words.textContent = text;
}

/** For a page about one patient: news of others is none of its business. */
export function about(patient: string | undefined): (heard: string) => Concern {
  return (heard) => (!patient || heard === patient ? "here" : "elsewhere");
}

/**
 * Call `refresh` soon after news that concerns what is shown, later after news that may bring
 * something onto the page, and at least once a minute.
 */
export function follow(refresh: () => Promise<string>, concern: (patient: string) => Concern): void {
  let timer: number | undefined;
  let due = Infinity;
  let last = -Infinity;
  let connected = false;
  let lastTime = "";
  const state = (): void =>
    connected ? say("on", `Live · ${lastTime}`) : say("wait", `As of ${lastTime}, renewed each minute`);
  const run = async (): Promise<void> => {
    window.clearTimeout(timer);
    due = Infinity;
    last = performance.now();
    try {
      lastTime = await refresh();
      state();
    } catch {
      say("off", lastTime ? `Not updated since ${lastTime}` : "Not updating");
    }
  };
  const soon = (how: Concern): void => {
    const wait = waitBefore(how, performance.now() - last, Math.random());
    const at = performance.now() + wait;
    if (at >= due) return; // of no interest, or one that comes sooner is on its way
    due = at;
    window.clearTimeout(timer);
    timer = window.setTimeout(() => void run(), wait);
  };
  const heard = (event: MessageEvent<unknown>): void => {
    const patient = patientOf(event);
    soon(patient ? concern(patient) : "here");
  };
  lastTime = document.querySelector<HTMLElement>("[data-live]")?.dataset["at"] ?? "";
  // A browser keeps six connections to a server for all of its tabs: hidden ones must not hold any.
  let source: EventSource | null = null;
  const connect = (): void => {
    source?.close();
    source = null;
    connected = false;
    if (document.hidden) return;
    source = new EventSource("/api/v1/events");
    source.addEventListener("open", () => {
      connected = true;
      soon("here");
      state();
    });
    source.addEventListener("error", () => {
      connected = false;
      state();
    });
    source.addEventListener("message", heard);
    for (const kind of KINDS) source.addEventListener(kind, heard);
  };
  connect();
  window.setInterval(() => {
    if (!document.hidden) void run();
  }, REFRESH_MS);
  document.addEventListener("visibilitychange", () => {
    connect();
    if (!document.hidden) soon("here");
  });
}
