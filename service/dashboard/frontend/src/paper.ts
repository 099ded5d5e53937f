// Paper is white and cannot be unfolded: while the page is printed it is open, and its charts are drawn light.

function redrawn(theme: string | undefined): void {
  const { dataset } = document.documentElement;
  if (theme === undefined) delete dataset["theme"];
  else dataset["theme"] = theme;
  document.dispatchEvent(new CustomEvent("carina:theme"));
}

export function unfoldForPaper(): void {
  let opened: HTMLDetailsElement[] = [];
  let theme: string | undefined;
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset["theme"];
    redrawn("light");
    opened = [...document.querySelectorAll<HTMLDetailsElement>("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    opened = [];
    redrawn(theme);
  });
}
