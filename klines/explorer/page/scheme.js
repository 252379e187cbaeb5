// Light or dark: as the system has it, or as was chosen here, which this browser remembers.

import { schemeChanged } from "./look.js";

const CHOICES = ["system", "light", "dark"], KEY = "klines-scheme";

/** A button goes through the choices. */
export function schemeSwitch(button) {
  let chosen = remembered();
  function apply() {
    document.documentElement.dataset.scheme = chosen;
    button.textContent = `Colours: ${chosen}`;
    schemeChanged();
  }
  button.addEventListener("click", () => {
    chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
    try { localStorage.setItem(KEY, chosen); } catch { /* it is forgotten, then */ }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schemeChanged);
  apply();
}

function remembered() {
  try {
    const found = localStorage.getItem(KEY);
    return CHOICES.includes(found) ? found : "system";
  } catch {
    return "system";
  }
}
