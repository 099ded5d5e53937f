// On every page: theme, shortcuts, help.

import "./styles/index.css";
import { addShortcuts, listen } from "./keys";
import { unfoldForPaper } from "./paper";
import { toggleTheme } from "./theme";

const button = document.querySelector<HTMLFormElement>("form[data-theme-toggle]");
button?.addEventListener("submit", (event) => {
  event.preventDefault();
  toggleTheme();
});
addShortcuts([{ keys: ["t"], says: "Dark or light theme", run: toggleTheme }]);
listen();
unfoldForPaper();
