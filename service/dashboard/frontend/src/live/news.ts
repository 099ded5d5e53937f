// Server-sent events: tells when something is new, and says so when it can no longer tell.

const KINDS = ["result", "risk", "patient", "study", "reset"] as const;
const QUIET_MS = 400; // a study brings several pieces of news at once
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

/** Call `refresh` soon after news (of `patient`, where given) and at least once a minute. */
export function follow(refresh: () => Promise<string>, patient?: string, quietMs = QUIET_MS): void {
  let timer: number | undefined;
  let connected = false;
  let lastTime = "";
  const state = (): void =>
    connected ? say("on", `Live · ${lastTime}`) : say("wait", `As of ${lastTime}, renewed each minute`);
  const run = async (): Promise<void> => {
    timer = undefined;
    try {
      lastTime = await refresh();
      state();
    } catch {
      say("off", lastTime ? `Not updated since ${lastTime}` : "Not updating");
    }
  };
  const soon = (): void => {
    timer ??= window.setTimeout(() => void run(), quietMs); // news without a pause must not hold it up
  };
  const heard = (event: MessageEvent<unknown>): void => {
    const about = patientOf(event);
    if (!patient || !about || about === patient) soon();
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
      soon();
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
    if (!document.hidden) soon();
  });
}
