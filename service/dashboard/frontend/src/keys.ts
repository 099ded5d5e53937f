// Keyboard shortcuts: pages add theirs to one table, `?` shows all of them.

export interface Shortcut {
  keys: readonly string[];
  says: string;
  run: () => void;
}

const shortcuts: Shortcut[] = [];

export function addShortcuts(more: readonly Shortcut[]): void {
  shortcuts.push(...more);
}

/** Typing into a field must never move a film or leave a page. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["range", "checkbox", "radio"].includes(target.type);
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName);
}

/** A slider keeps its arrow keys. */
function isSliding(event: KeyboardEvent): boolean {
  const target = event.target;
  return target instanceof HTMLInputElement && target.type === "range" && event.key.startsWith("Arrow");
}

function nameOf(key: string): string {
  const names: Record<string, string> = {
    ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Enter: "Enter", Delete: "Del", Backspace: "⌫",
  };
  return names[key] ?? key;
}

function fillHelp(dialog: HTMLDialogElement): void {
  const list = dialog.querySelector("dl");
  if (!list) return;
  const together = new Map<string, string[]>();
  for (const { says, keys } of shortcuts) together.set(says, [...(together.get(says) ?? []), ...keys]);
  list.replaceChildren(
    ...[...together].flatMap(([words, keys]) => {
      const term = document.createElement("dt");
      for (const key of keys) {
        const element = document.createElement("kbd");
        element.textContent = nameOf(key);
        term.append(element, " ");
      }
      const says = document.createElement("dd");
      says.textContent = words;
      return [term, says];
    }),
  );
}

export function listen(): void {
  const dialog = document.querySelector<HTMLDialogElement>("dialog.help");
  const show = (): void => {
    if (!dialog) return;
    fillHelp(dialog);
    dialog.showModal();
  };
  addShortcuts([{ keys: ["?"], says: "Show or hide this list", run: () => (dialog?.open ? dialog.close() : show()) }]);
  document.querySelector("[data-help]")?.addEventListener("click", show);
  dialog?.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isSliding(event)) return;
    if (dialog?.open && event.key !== "?") return;
    const found = shortcuts.find((shortcut) => shortcut.keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}
