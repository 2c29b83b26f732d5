// j k Enter Esc / t ?: never while a text is typed, nor with a modifier that belongs to the browser.

function startKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing) {
      if (event.key === "Escape" || event.key === "Enter") typing.blur();
      return;
    }
    // Enter on a link or button is theirs.
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
