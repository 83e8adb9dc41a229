// Drags a letter to a place with mouse, pen or touch (pointer events).
import { element } from "./elements.js";

const MIN_PIXELS = 5; // less is a click

// Calls `start` with the event that begins a drag. Without the second listener, a quick finger
// starts a fling, and the browser ignores the next tap for a second.
export function onDragStart(source, start) {
  source.addEventListener("pointerdown", start);
  source.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
}

// `on` has drop(slot), outside() and click().
export function startDrag(event, letter, on) {
  if (event.button !== 0) return;
  const source = event.currentTarget;
  const start = { x: event.clientX, y: event.clientY };
  let chip = null;
  let slot = null;

  function move(moved) {
    if (!chip && Math.hypot(moved.clientX - start.x, moved.clientY - start.y) < MIN_PIXELS) return;
    if (!chip) document.body.append(chip = element("span", { class: "chip flying", "aria-hidden": "true", text: letter }));
    chip.style.left = `${moved.clientX}px`;
    chip.style.top = `${moved.clientY}px`;
    const below = document.elementFromPoint(moved.clientX, moved.clientY)?.closest(".slot") ?? null;
    if (below !== slot) {
      slot?.classList.remove("over");
      below?.classList.add("over");
      slot = below;
    }
  }

  function end(ended) {
    for (const name of ["pointermove", "pointerup", "pointercancel"]) source.removeEventListener(name, name === "pointermove" ? move : end);
    slot?.classList.remove("over");
    chip?.remove();
    if (ended.type === "pointercancel") return;
    if (!chip) on.click();
    else if (slot) on.drop(slot);
    else on.outside();
  }

  event.preventDefault();
  source.setPointerCapture(event.pointerId);
  source.addEventListener("pointermove", move);
  source.addEventListener("pointerup", end);
  source.addEventListener("pointercancel", end);
}
