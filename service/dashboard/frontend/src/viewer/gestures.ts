// Mouse, pen and fingers, all as pointer events. One pointer does what the tool says, two zoom and
// pan, the wheel zooms, the middle button or Shift pans.

export interface Gestures {
  drag: (dx: number, dy: number, x: number, y: number, panning: boolean) => void;
  start: (x: number, y: number, panning: boolean) => void;
  pinch: (x: number, y: number, factor: number, dx: number, dy: number) => void;
  wheel: (x: number, y: number, factor: number) => void;
  twice: () => void;
  hover: (x: number, y: number) => void;
}

interface Spot {
  x: number;
  y: number;
}

function middle(a: Spot, b: Spot): Spot {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

export function attach(element: HTMLElement, gestures: Gestures): void {
  const pointers = new Map<number, Spot>();
  let panning = false;
  const spot = (event: MouseEvent): Spot => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, spot(event));
    panning = event.button === 1 || event.shiftKey;
    if (event.button === 1) event.preventDefault();
    if (pointers.size === 1) gestures.start(spot(event).x, spot(event).y, panning);
  });
  element.addEventListener("pointermove", (event) => {
    const now = spot(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      gestures.hover(now.x, now.y);
      return;
    }
    if (pointers.size === 1) gestures.drag(now.x - before.x, now.y - before.y, now.x, now.y, panning);
    else if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1] as Spot;
      const [from, to] = [middle(before, other), middle(now, other)];
      const spread = Math.hypot(before.x - other.x, before.y - other.y) || 1;
      gestures.pinch(to.x, to.y, Math.hypot(now.x - other.x, now.y - other.y) / spread, to.x - from.x, to.y - from.y);
    }
    pointers.set(event.pointerId, now);
  });
  const end = (event: PointerEvent): void => void pointers.delete(event.pointerId);
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = spot(event);
    gestures.wheel(x, y, Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.0018));
  }, { passive: false });
  element.addEventListener("dblclick", () => gestures.twice());
  element.addEventListener("contextmenu", (event) => event.preventDefault());
}
