// Heat map: pairs counted over chosen axes. Colour = first divergent stage (or largest ulp), hatch = unrun, dot = known,
// ring = new; every box says its count in text, so colour is never the only code.

const PIVOT = { rows: "dtype,scale", columns: "domain,eps,device", facets: "edge,preset", colour: "stage" };
const MAX_BOXES = 200000;
const OPEN_FACETS = 6;

function boxElement(sheet, box, colour, open) {
  if (!box) return element("td", { class: "box none" });
  const text = boxText(sheet, box);
  const [fresh, known, broken] = [newIn(sheet, box), knownIn(sheet, box), brokenIn(sheet, box)];
  const equal = sumOf(sheet, box, (verdict) => EQUAL_VERDICTS.has(verdict));
  const unrun = sumOf(sheet, box, (verdict) => verdict === "unrun");
  if (!fresh && !known && !broken) {
    const kind = equal ? "equal" : unrun ? "unrun" : "refused";
    return element("td", { class: `box ${kind}`, title: text }, equal ? count(equal) : unrun ? count(unrun) : "–");
  }
  const [stage] = [...box.stages.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0] || [NO_STAGE];
  const name = stage === NO_STAGE ? "" : sheet.stages[stage];
  const level = box.ulp > 0 ? Math.min(100, 12 + Math.log2(box.ulp) * 5) : 8;
  const kinds = [fresh ? "new" : known ? "known" : "broken", colour === "ulp" ? "by-ulp" : ""].join(" ");
  const tail = name ? sheet.short[name] + (box.stages.size > 1 ? "+" : "") : "";
  const shown = colour === "ulp" ? (box.ulp < 0 ? "" : `2^${Math.floor(Math.log2(Math.max(1, box.ulp)))}`) : tail;
  return element(
    "td",
    { class: `box ${kinds}`, "data-stage": name, variables: { "--level": `${level}%` } },
    element(
      "button",
      { type: "button", title: `${text}\n${[...box.stages.keys()].sort((a, b) => a - b).map((s) => sheet.stages[s]).join(", ")}`, click: open },
      element("b", {}, count(fresh || known || broken)),
      fresh || broken ? null : element("i", { class: "dot", "aria-label": "known" }),
      element("span", { class: "tag" }, shown),
    ),
  );
}

// show(query) counts and draws again. narrow(terms) is called with the filter that means a box.
function makeMatrix(sheet, container, narrow) {
  let pivot = { ...PIVOT };
  let query = null;

  function draw() {
    const axes = { rows: pivotAxes(sheet, pivot.rows), columns: pivotAxes(sheet, pivot.columns), facets: pivotAxes(sheet, pivot.facets) };
    const boxes = sizeOf(axes.rows) * sizeOf(axes.columns);
    if (boxes > MAX_BOXES) {
      container.replaceChildren(element("p", { class: "wrong" }, `${count(boxes)} boxes are too many to look at: choose fewer axes.`));
      return;
    }
    const facets = [...tally(sheet, query, axes).values()];
    facets.sort((a, b) => Number(newIn(sheet, b.total) > 0) - Number(newIn(sheet, a.total) > 0)
      || Number(knownIn(sheet, b.total) > 0) - Number(knownIn(sheet, a.total) > 0) || a.place - b.place);
    container.replaceChildren(...facets.map((facet, i) => facetElement(facet, axes, i)));
    if (!facets.length) container.replaceChildren(element("p", { class: "of" }, "No pair matches the filter."));
  }

  function facetElement(facet, axes, i) {
    const differs = newIn(sheet, facet.total) || knownIn(sheet, facet.total) || brokenIn(sheet, facet.total);
    const words = wordsAt(axes.facets, facet.place).map(edgeText);
    const made = element(
      "details",
      { class: "facet" },
      element(
        "summary",
        {},
        element("span", { class: "facet-name" }, words.join("  ·  ") || "all pairs"),
        element("span", { class: "of" }, boxText(sheet, facet.total)),
      ),
    );
    const fill = () => {
      if (made.open && !made.querySelector("table")) made.append(element("div", { class: "scroll" }, tableElement(facet, axes, made)));
    };
    made.addEventListener("toggle", fill);
    made.open = Boolean(differs) && i < OPEN_FACETS;
    fill();
    return made;
  }

  function tableElement(facet, axes, holder) {
    const width = facetWidth(axes);
    const rows = [...new Set([...facet.boxes.keys()].map((key) => Math.floor(key / width)))].sort((a, b) => a - b);
    const columns = [...new Set([...facet.boxes.keys()].map((key) => key % width))].sort((a, b) => a - b);
    const differsAt = (wanted) => [...facet.boxes].some(([key, box]) => wanted(key) && (newIn(sheet, box) || knownIn(sheet, box)));
    const explainer = (terms, label) => element("button", { type: "button", class: "ask", title: "why?", click: () => showWhy(sheet, holder, axes, facet, terms, label, narrow) }, label);
    const header = (level) => spans(columns, axes.columns, level).map(({ place, span, word }) => {
      const terms = termsAt(axes.columns, place, level + 1);
      const red = differsAt((key) => termsMatch(axes.columns, key % width, terms));
      return element("th", { scope: "col", colspan: span }, red ? explainer(terms, word) : word);
    });
    const head = axes.columns.map((axis, level) =>
      element("tr", {}, element("th", { class: "axis-name", colspan: Math.max(1, axes.rows.length), scope: "row" }, axis.name), header(level)));
    const body = rows.map((row, i) => {
      const names = axes.rows.map((_, level) => {
        const group = spans(rows, axes.rows, level).find((candidate) => candidate.start === i);
        if (!group) return null;
        const terms = termsAt(axes.rows, row, level + 1);
        const red = differsAt((key) => termsMatch(axes.rows, Math.floor(key / width), terms));
        return element("th", { scope: "row", rowspan: group.span, title: axes.rows[level].name }, red ? explainer(terms, group.word) : group.word);
      });
      const boxes = columns.map((column) => {
        const terms = [...allTerms(axes.facets, facet.place), ...allTerms(axes.rows, row), ...allTerms(axes.columns, column)];
        return boxElement(sheet, facet.boxes.get(row * width + column), pivot.colour, () => narrow(terms));
      });
      return element("tr", {}, names, boxes);
    });
    const names = `${axes.rows.map((axis) => axis.name).join(", ")} by ${axes.columns.map((axis) => axis.name).join(", ")}`;
    return element("table", { class: "heat" }, element("caption", { class: "unseen" }, names), element("thead", {}, head), element("tbody", {}, body));
  }

  return {
    show(newQuery, newPivot) {
      query = newQuery;
      pivot = { ...PIVOT, ...newPivot };
      draw();
    },
  };
}

// Runs of equal words on one level of a header, so that each is written once.
function spans(places, axes, level) {
  const runs = [];
  let before = null;
  places.forEach((place, i) => {
    const words = wordsAt(axes, place).slice(0, level + 1).join("\0");
    if (words === before) runs.at(-1).span++;
    else runs.push({ place, start: i, span: 1, word: wordsAt(axes, place)[level] });
    before = words;
  });
  return runs;
}
