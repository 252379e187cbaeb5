// As of when the pictures are: the server tells it, and that the stream breaks off tells that the server has ended.

import { count, lasting, second } from "./look.js";

const OLD_MS = 10 * 60_000; // pictures that lack more than this are called old

/** Lines in `head`; calls back with every newer state of the database. */
export function follow(head, onNewer) {
  const said = head.querySelector(".asof"), button = head.querySelector(".renew"), bar = head.querySelector("progress");
  let stream, state, offset_ms = 0, has_ended = false;

  function listen() {
    stream?.close();
    if (document.hidden) return; // a browser has few connections for all of its pages
    stream = new EventSource("/api/state");
    stream.onmessage = ({ data }) => take(JSON.parse(data));
    stream.onerror = () => {
      has_ended = true;
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // refused: too many pages
      show();
    };
  }

  function take(told) {
    const before = state?.taken_ms;
    [state, has_ended, offset_ms] = [told, false, told.now_ms - Date.now()];
    show();
    if (told.taken_ms && told.taken_ms !== before) onNewer(told.taken_ms);
  }

  function show() {
    head.classList.toggle("ended", has_ended);
    button.hidden = has_ended || !state;
    button.disabled = Boolean(state?.is_taking);
    bar.hidden = has_ended || !state?.is_taking;
    if (state?.share === null) bar.removeAttribute("value");
    else if (state) bar.value = state.share;
    said.textContent = has_ended ? ENDED : state ? sentence() : "";
    said.classList.toggle("error", has_ended || Boolean(state?.failed) || isOld());
  }

  const age = () => Date.now() + offset_ms - state.taken_ms;
  const isOld = () => Boolean(state?.taken_ms && state.lacks && age() > OLD_MS);

  function sentence() {
    const when = state.taken_ms ? `as of ${second(state.taken_ms)} UTC, ${lasting(age())} ago` : "nothing is read yet";
    const parts = [`${state.database}: ${when}`];
    if (state.is_taking) {
      const far = state.share === null ? "which waits for the file" : `${count(Math.floor(state.share * 100))} % are copied`;
      parts.push(`a new state is being taken: ${far}`);
    } else if (state.failed && state.taken_ms) { // without a state the page says why it has none
      parts.push(`no new state could be taken: ${state.failed}`);
    } else if (state.lacks) {
      parts.push("more is stored by now");
    }
    return parts.join("; ");
  }

  button.addEventListener("click", () => fetch("/api/renew", { method: "POST" }).catch(() => {}));
  document.addEventListener("visibilitychange", listen);
  setInterval(() => state && !has_ended && show(), 1000);
  listen();
}

const ENDED = "The explorer has ended, and these pictures stay as they are; make explore starts it again.";
