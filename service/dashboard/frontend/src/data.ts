// Data that the server put into the page as <script type="application/json">: read, never run.

export function pageData<T>(id: string): T | null {
  const element = document.getElementById(id);
  if (!element?.textContent) return null;
  return JSON.parse(element.textContent) as T;
}

export function required<T extends Element>(selector: string, within: ParentNode = document): T {
  const found = within.querySelector<T>(selector);
  if (!found) throw new Error(`expected ${selector} on this page, found none`);
  return found;
}
