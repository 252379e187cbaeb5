// A range by dragging: from where the pointer goes down to where it goes up.

const LEAST = 4; // pixels; less is a click

/** On an element: `onMove(from, to)` while it is dragged, `onEnd` with the same, and `onClick(event)`; x in pixels. */
export function draggable(picture, { onMove, onEnd, onClick }) {
  let from = null;
  const at = (event) => event.clientX - picture.getBoundingClientRect().left;
  const isFar = (event) => Math.abs(at(event) - from.x) >= LEAST;
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = { x: at(event), event };
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (from && isFar(event)) onMove(from, { x: at(event), event });
  });
  picture.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [began, ends] = [from, { x: at(event), event }];
    const far = isFar(event);
    from = null;
    if (far) onEnd(began, ends);
    else onClick(event);
  });
  picture.addEventListener("pointercancel", () => {
    from = null;
    onMove(null, null);
  });
}
