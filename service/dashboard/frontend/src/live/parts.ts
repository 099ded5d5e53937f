// Fetches the page that is shown once more and takes its parts over, row by row.

import { mergeOrder } from "./order";

export async function fetchPage(): Promise<Document> {
  const answer = await fetch(location.href, { headers: { "X-Carina-Refresh": "1" }, credentials: "same-origin" });
  if (answer.redirected && new URL(answer.url).pathname === "/login") {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error("expected the page, found the login; log in again");
  }
  if (!answer.ok) throw new Error(`expected the page, found status ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

export function timeOf(page: Document): string {
  return page.querySelector<HTMLElement>("[data-live]")?.dataset["at"] ?? "";
}

/** Words that somebody has typed and not sent yet. */
function isTyped(part: HTMLElement): boolean {
  return [...part.querySelectorAll("input")].some((one) => one.value !== one.defaultValue);
}

/** Replace what is inside each `[data-part]` that changed; focus, scroll and typed words stay. */
export function takeParts(page: Document): void {
  for (const fresh of page.querySelectorAll<HTMLElement>("[data-part]")) {
    const name = fresh.dataset["part"] ?? "";
    const shown = document.querySelector<HTMLElement>(`[data-part="${CSS.escape(name)}"]`);
    if (!shown || shown.innerHTML === fresh.innerHTML || shown.contains(document.activeElement) || isTyped(shown)) continue;
    const open = [...shown.querySelectorAll("details")].map((one) => one.open);
    shown.replaceChildren(...document.importNode(fresh, true).childNodes);
    shown.querySelectorAll("details").forEach((one, i) => (one.open = open[i] ?? one.open));
  }
}

function rowsOf(body: ParentNode): Map<string, HTMLElement> {
  const rows = [...body.querySelectorAll<HTMLElement>("[data-row]")];
  return new Map(rows.map((row) => [row.dataset["row"] ?? "", row]));
}

/** Keep the element (hover, focus, its link) and replace the cells that differ. */
function refill(shown: HTMLElement, fresh: HTMLElement): void {
  const cells = [...fresh.children];
  let changed = false;
  [...shown.children].forEach((cell, i) => {
    const other = cells[i];
    if (!other || cell.innerHTML === other.innerHTML) return;
    if (!(cell instanceof HTMLElement) || cell.dataset["quiet"] === undefined) changed = true;
    if (cell.contains(document.activeElement)) return;
    cell.replaceChildren(...document.importNode(other, true).childNodes);
    cell.className = other.className;
  });
  if (!changed) return;
  shown.classList.remove("changed");
  void shown.offsetWidth; // restarts the animation
  shown.classList.add("changed");
}

/** Returns true where the order on the server is not the one shown. */
export function takeRows(shown: HTMLElement, fresh: HTMLElement, held: boolean): boolean {
  const old = rowsOf(shown);
  const incoming = rowsOf(fresh);
  const merged = mergeOrder([...old.keys()], [...incoming.keys()], held);
  for (const [key, row] of old) {
    const other = incoming.get(key);
    if (other) refill(row, other);
  }
  if (held) return merged.pending;
  const rows = merged.order.map((key) => old.get(key) ?? document.importNode(incoming.get(key) as HTMLElement, true));
  const same = rows.length === shown.children.length && rows.every((row, i) => row === shown.children[i]);
  if (!same) {
    const focused = document.activeElement;
    shown.replaceChildren(...rows);
    if (focused instanceof HTMLElement && shown.contains(focused)) focused.focus({ preventScroll: true });
  }
  return false;
}
