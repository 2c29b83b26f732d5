// The choice of what stands in rows, columns and facets: any axes, in any order.

function makePivot(sheet, container, change) {
  const axes = ["edge", ...sheet.axes.filter((axis) => axis.words.length > 1).map((axis) => axis.name)];

  function place(title, key, pivot) {
    const chosen = pivot[key].split(",").filter((name) => axes.includes(name));
    const chips = chosen.map((name) =>
      element("button", { type: "button", class: "chip", title: `take ${name} out`, "aria-label": `take ${name} out of the ${title}`,
        click: () => change({ [key]: chosen.filter((other) => other !== name).join(",") || "none" }) }, name, element("span", { "aria-hidden": "true" }, " ×")));
    const free = axes.filter((name) => !chosen.includes(name));
    const add = element("select", { "aria-label": `add an axis to the ${title}`,
      change: (event) => change(moved(pivot, event.target.value, key)) },
      element("option", { value: "" }, "+"), free.map((name) => element("option", { value: name }, name)));
    return element("span", { class: "pivot-place" }, element("span", { class: "of" }, title), chips, add);
  }

  // The axis leaves where it stood before: nothing is told twice.
  function moved(pivot, name, key) {
    const changes = {};
    for (const other of ["rows", "columns", "facets"]) {
      const names = pivot[other].split(",").filter((present) => axes.includes(present) && present !== name);
      changes[other] = (other === key ? [...names, name] : names).join(",") || "none";
    }
    return changes;
  }

  return (pivot) => {
    const colour = element("select", { "aria-label": "colour by", change: (event) => change({ colour: event.target.value }) },
      element("option", { value: "stage", selected: pivot.colour === "stage" }, "first stage"),
      element("option", { value: "ulp", selected: pivot.colour === "ulp" }, "largest ulp"));
    const reset = element("button", { type: "button", click: () => change({ rows: null, columns: null, facets: null, colour: null }) }, "reset");
    container.replaceChildren(
      place("rows", "rows", pivot), place("columns", "columns", pivot), place("facets", "facets", pivot),
      element("span", { class: "pivot-place" }, element("span", { class: "of" }, "colour"), colour), reset);
  };
}
