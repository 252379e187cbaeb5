// A text field with a list: typing narrows the list down, arrows and Enter choose, and any other text may be entered.

const SHOWN = 60;

/** On an input and a list; `choices()` are texts, `onPick` gets the one that was chosen or typed. */
export function combobox(input, list, choices, onPick) {
  let chosen = "", shown = [], active = -1;

  function open(text) {
    const words = text.toUpperCase().split(/\s+/).filter(Boolean);
    const fits = choices().filter((choice) => words.every((word) => choice.toUpperCase().includes(word)));
    const begins = (choice) => choice.toUpperCase().startsWith(words[0] ?? "");
    const found = [...fits.filter(begins), ...fits.filter((choice) => !begins(choice))];
    shown = found.slice(0, SHOWN);
    list.replaceChildren(...shown.map(option));
    if (found.length > SHOWN) list.append(note(`${found.length - SHOWN} more: type on`));
    if (!found.length) list.append(note("none of that name"));
    list.hidden = false;
    input.ariaExpanded = "true";
    mark(text && shown.length ? 0 : shown.indexOf(chosen));
  }

  function option(text, i) {
    const item = Object.assign(document.createElement("li"), { role: "option", id: `${list.id}-${i}`, textContent: text });
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the field keeps the focus
      pick(text);
    });
    return item;
  }

  function note(text) {
    return Object.assign(document.createElement("li"), { className: "note", textContent: text, ariaDisabled: "true" });
  }

  function mark(i) {
    active = i;
    [...list.children].forEach((item, at) => { item.ariaSelected = String(at === i); });
    list.children[i]?.scrollIntoView({ block: "nearest" });
    if (i < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `${list.id}-${i}`);
  }

  function close() {
    list.hidden = true;
    input.ariaExpanded = "false";
    mark(-1);
  }

  function pick(text) {
    close();
    input.value = text;
    if (text !== chosen) onPick((chosen = text));
  }

  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => list.hidden && open(""));
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", () => (input.value.trim() ? pick(exact(input.value)) : set(chosen)));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && list.hidden) open("");
    else if (step) mark((active + step + shown.length) % shown.length);
    else if (event.key === "Enter") pick(active >= 0 && !list.hidden ? shown[active] : exact(input.value));
    else if (event.key === "Escape") set(chosen);
    else return;
    event.preventDefault();
  });

  const exact = (text) => choices().find((choice) => choice.toUpperCase() === text.trim().toUpperCase()) ?? text.trim();
  function set(text) {
    chosen = input.value = text;
    close();
  }
  return { set };
}
