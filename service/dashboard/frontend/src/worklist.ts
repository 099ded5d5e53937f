// The worklist: rows renew themselves without moving under the mouse; arrows walk through them.

import { required } from "./data";
import { addShortcuts } from "./keys";
import { follow } from "./live/news";
import { fetchPage, takeParts, takeRows, timeOf } from "./live/parts";

const body = document.querySelector<HTMLElement>("[data-rows]");

function isHeld(): boolean {
  return !!body && (body.matches(":hover") || body.contains(document.activeElement));
}

let latest: Document | null = null;
const button = document.querySelector<HTMLButtonElement>("[data-apply]");

function apply(held: boolean): void {
  const fresh = latest?.querySelector<HTMLElement>("[data-rows]");
  if (!body || !fresh) return;
  const pending = takeRows(body, fresh, held);
  if (button) button.hidden = !pending;
}

async function refresh(): Promise<string> {
  latest = await fetchPage();
  takeParts(latest);
  apply(isHeld());
  return timeOf(latest);
}

function walk(step: number): void {
  const links = [...document.querySelectorAll<HTMLAnchorElement>("[data-row] a.name")];
  if (!links.length) return;
  const at = links.findIndex((link) => link === document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next]?.focus();
  links[next]?.closest("[data-row]")?.scrollIntoView({ block: "nearest" });
}

button?.addEventListener("click", () => apply(false));
body?.addEventListener("pointerleave", () => {
  if (latest && !isHeld()) apply(false);
});
document.querySelector("[data-show]")?.setAttribute("hidden", ""); // choices apply at once, Enter searches
for (const select of document.querySelectorAll<HTMLSelectElement>(".filters select")) {
  select.addEventListener("change", () => select.form?.requestSubmit());
}
addShortcuts([
  { keys: ["j", "ArrowDown"], says: "Next patient", run: () => walk(1) },
  { keys: ["k", "ArrowUp"], says: "Previous patient", run: () => walk(-1) },
  { keys: ["Enter"], says: "Open the patient", run: () => (document.activeElement as HTMLElement | null)?.click() },
  { keys: ["/"], says: "Search", run: () => required<HTMLInputElement>("input[type=search]").focus() },
]);
/** Others than those shown can only come onto this page by their order. */
follow(refresh, (patient) => (document.querySelector(`[data-row="${CSS.escape(patient)}"]`) ? "here" : "near"));
