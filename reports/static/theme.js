// auto follows the system; light and dark are remembered where the browser lets a page from disk remember.

const THEMES = ["auto", "light", "dark"];

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme;
  byId("theme").setAttribute("aria-label", `colours: ${theme}`);
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  showTheme(theme);
  try {
    localStorage.setItem("parity-theme", theme);
  } catch {
    // Storage is refused: the choice lasts as long as the page.
  }
}

function rememberedTheme() {
  try {
    const theme = localStorage.getItem("parity-theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}

function startTheme() {
  showTheme(rememberedTheme());
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", nextTheme);
}
