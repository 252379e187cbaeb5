// Questions to the server, one at a time for each part of the page: a newer one takes the place of the one before.

const ENDED = "The explorer has ended; make explore starts it again.";
const asking = new Map();

/** What the server answers for a part of the page; null where it does not, and the part says why. */
export async function ask(part, parameters) {
  const element = document.getElementById(part), controller = new AbortController();
  asking.get(part)?.abort();
  asking.set(part, controller);
  element.ariaBusy = "true";
  try {
    const answer = await fetch(`/api/${part}?${new URLSearchParams(parameters)}`, { signal: controller.signal });
    const found = await answer.json();
    if (found.error) throw new Error(found.error);
    for (const pre of element.querySelectorAll("pre")) pre.textContent = found.sql;
    element.classList.remove("failed");
    return found;
  } catch (error) {
    const hasEnded = error instanceof TypeError || error instanceof SyntaxError; // no answer, or not a whole one
    if (error.name !== "AbortError") {
      element.classList.toggle("failed", !hasEnded); // what was refused has no picture: that of before is another's
      say(part, hasEnded ? ENDED : error.message, true);
    }
    return null;
  } finally {
    if (asking.get(part) === controller) element.ariaBusy = "false";
  }
}

/** Put a sentence at the head of a part. */
export function say(part, text, isError = false) {
  const said = document.querySelector(`#${part} .said`);
  said.textContent = text;
  said.classList.toggle("error", isError);
}
