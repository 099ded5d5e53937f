// The patient page: charts over the server's still pictures, renewed when news of this patient comes.

import { drawCourse, type Course } from "./charts/course";
import { pageData } from "./data";
import { addShortcuts } from "./keys";
import { about, follow } from "./live/news";
import { fetchPage, takeParts, timeOf } from "./live/parts";

let course = pageData<Course>("course");
let undo: (() => void) | null = null;

function draw(): void {
  undo?.();
  undo = course ? drawCourse(course) : null;
}

function go(rel: string): void {
  document.querySelector<HTMLAnchorElement>(`a[rel="${rel}"][href]`)?.click();
}

async function refresh(): Promise<string> {
  const page = await fetchPage();
  const text = page.getElementById("course")?.textContent ?? "null";
  if (text !== document.getElementById("course")?.textContent) {
    const own = document.getElementById("course");
    if (own) own.textContent = text;
    course = JSON.parse(text) as Course | null;
    draw();
  }
  takeParts(page);
  return timeOf(page);
}

draw();
document.addEventListener("carina:theme", draw);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  draw();
});
addShortcuts([
  { keys: ["ArrowLeft", ","], says: "Contributions one step earlier", run: () => go("prev") },
  { keys: ["ArrowRight", "."], says: "Contributions one step later", run: () => go("next") },
  { keys: ["n"], says: "Contributions now", run: () => go("last") },
  { keys: ["b"], says: "Back to the worklist", run: () => location.assign("/") },
]);
follow(refresh, about(document.body.dataset["patient"]));
