// Mouse, pen and fingers, all as pointer events. One pointer does what the tool says, two zoom and
// pan, the wheel zooms, the middle button or Shift pans, a finger that rests is held.

const HELD_MS = 450;
const RESTS_PX = 8;

export interface Gestures {
  drag: (dx: number, dy: number, x: number, y: number, panning: boolean) => void;
  start: (x: number, y: number, panning: boolean, touch: boolean) => void;
  end: () => void;
  cancel: () => void; // what one pointer had begun was not meant: a second finger has come
  hold: (x: number, y: number) => void; // a finger rests, or moves after it had
  pinch: (x: number, y: number, factor: number, dx: number, dy: number) => void;
  wheel: (x: number, y: number, factor: number) => void;
  twice: () => void;
  hover: (x: number, y: number) => void;
  leave: () => void;
}

interface Spot {
  x: number;
  y: number;
}

function middle(a: Spot, b: Spot): Spot {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

/** Tells a finger that rests from one that moves. */
class Rest {
  held = false;
  private begun: Spot | null = null;
  private timer = 0;

  begin(spot: Spot, then: () => void): void {
    this.begun = spot;
    this.timer = window.setTimeout(() => {
      this.held = true;
      then();
    }, HELD_MS);
  }

  moved(spot: Spot): void {
    if (this.begun && Math.hypot(spot.x - this.begun.x, spot.y - this.begun.y) > RESTS_PX) window.clearTimeout(this.timer);
  }

  end(): void {
    window.clearTimeout(this.timer);
    this.held = false;
    this.begun = null;
  }
}

export function attach(element: HTMLElement, gestures: Gestures): void {
  const pointers = new Map<number, Spot>();
  const rest = new Rest();
  let panning = false;
  let pinched = false; // the finger that stays after a pinch does nothing
  const spot = (event: MouseEvent): Spot => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  element.addEventListener("pointerdown", (event) => {
    const now = spot(event);
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, now);
    panning = event.button === 1 || event.shiftKey;
    if (event.button === 1) event.preventDefault();
    const touch = event.pointerType === "touch";
    rest.end();
    if (pointers.size > 1) {
      if (!pinched) gestures.cancel();
      pinched = true;
      return;
    }
    pinched = false;
    gestures.start(now.x, now.y, panning, touch);
    if (touch) rest.begin(now, () => gestures.hold(now.x, now.y));
  });
  element.addEventListener("pointermove", (event) => {
    const now = spot(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      gestures.hover(now.x, now.y);
      return;
    }
    rest.moved(now);
    if (rest.held) gestures.hold(now.x, now.y);
    else if (pointers.size === 1 && !pinched) gestures.drag(now.x - before.x, now.y - before.y, now.x, now.y, panning);
    else if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1] as Spot;
      const [from, to] = [middle(before, other), middle(now, other)];
      const spread = Math.hypot(before.x - other.x, before.y - other.y) || 1;
      gestures.pinch(to.x, to.y, Math.hypot(now.x - other.x, now.y - other.y) / spread, to.x - from.x, to.y - from.y);
    }
    pointers.set(event.pointerId, now);
  });
  const end = (event: PointerEvent): void => {
    pointers.delete(event.pointerId);
    rest.end();
    if (!pointers.size) gestures.end();
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", (event) => {
    gestures.cancel();
    end(event);
  });
  element.addEventListener("pointerleave", () => {
    if (!pointers.size) gestures.leave();
  });
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = spot(event);
    gestures.wheel(x, y, Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.0018));
  }, { passive: false });
  element.addEventListener("dblclick", () => gestures.twice());
  element.addEventListener("contextmenu", (event) => event.preventDefault());
}
