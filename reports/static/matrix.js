// Heat map: pairs counted over chosen axes. Colour = first divergent stage (or largest ulp), hatch = unrun, dot = known,
// ring = new, against the baseline where there is one; every box says its count in text, so colour is never the only code.

const PIVOT = { rows: "dtype,scale", columns: "domain,eps,device", facets: "edge,preset", colour: "stage" };
const MAX_BOXES = 20000;
const OPEN_FACETS = 6;

function boxElement(sheet, box, colour, open) {
  if (!box) return element("td", { class: "box none" });
  const [fresh, known, broken] = [newIn(sheet, box), knownIn(sheet, box), brokenIn(sheet, box)];
  if (!fresh && !known && !broken) {
    const equal = sumOf(sheet, box, (verdict) => EQUAL_VERDICTS.has(verdict));
    const unrun = sumOf(sheet, box, (verdict) => verdict === "unrun");
    const kind = equal ? "equal" : unrun ? "unrun" : "refused";
    return element("td", { class: `box ${kind}`, title: boxText(sheet, box) }, equal ? count(equal) : unrun ? count(unrun) : "–");
  }
  const judged = sumOf(sheet, box, (verdict) => !QUIET_VERDICTS.has(verdict) || verdict === "identical");
  const stages = [...box.stages].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([stage]) => sheet.stages[stage]);
  const level = box.ulp > 0 ? Math.min(100, 12 + Math.log2(box.ulp) * 5) : 8;
  const kinds = [fresh ? "new" : known ? "known" : "broken", colour === "ulp" ? "by-ulp" : "", box.ringed || broken ? "ringed" : ""].join(" ");
  const stage = stages.length ? sheet.short[stages[0]] + (stages.length > 1 ? "+" : "") : "";
  const ulp = box.ulp < 0 ? "" : `2^${Math.floor(Math.log2(Math.max(1, box.ulp)))}`;
  return element(
    "td",
    { class: `box ${kinds}`, "data-stage": stages[0], variables: { "--level": `${level}%` } },
    element(
      "button",
      { type: "button", title: `${boxText(sheet, box)}\n${stages.join(", ")}`, click: open },
      element("span", {}, element("b", {}, count(fresh || known || broken)), element("span", { class: "of" }, `/${count(judged)}`)),
      fresh || broken ? null : element("i", { class: "dot", role: "img", "aria-label": "known" }),
      element("span", { class: "tag" }, colour === "ulp" ? ulp : stage),
    ),
  );
}

// show(query) counts and draws again. narrow(terms) is called with the filter that means a box.
function makeMatrix(sheet, container, narrow) {
  let axes = null;
  let boxes = null;
  let pivot = null;

  function turn(newPivot) {
    if (pivot && JSON.stringify(pivot) === JSON.stringify(newPivot)) return;
    pivot = newPivot;
    axes = Object.fromEntries(["rows", "columns", "facets"].map((key) => [key, pivotAxes(sheet, pivot[key])]));
    boxes = null;
  }

  function draw(query) {
    const nBoxes = sizeOf(axes.rows) * sizeOf(axes.columns);
    if (nBoxes > MAX_BOXES) {
      container.replaceChildren(element("p", { class: "wrong" }, `${count(nBoxes)} boxes are too many to look at: choose fewer axes.`));
      return;
    }
    boxes ||= boxesOf(sheet, axes);
    const facets = tally(sheet, query, axes, boxes);
    const rank = ({ total }) => (newIn(sheet, total) ? 0 : differsIn(sheet, total) || brokenIn(sheet, total) ? 1 : 2);
    facets.sort((a, b) => rank(a) - rank(b) || a.place - b.place);
    const [loud, quiet] = [facets.filter((facet) => rank(facet) < 2), facets.filter((facet) => rank(facet) === 2)];
    container.replaceChildren(...loud.map((facet, i) => facetElement(facet, i < OPEN_FACETS)), ...quietElement(quiet));
    if (!facets.length) container.replaceChildren(element("p", { class: "of" }, "No pair matches the filter."));
  }

  // Facets without a difference are many and dull: one line for all of them.
  function quietElement(facets) {
    if (!facets.length) return [];
    const total = newBox(new Int32Array(sheet.verdicts.length));
    for (const facet of facets) facet.total.verdicts.forEach((n, i) => (total.verdicts[i] += n));
    const named = counted(facets.length, "facet");
    return [element("details", { class: "facet quiet" },
      element("summary", {}, element("span", { class: "facet-name" }, `${named} without a difference`), element("span", { class: "of" }, boxText(sheet, total))),
      facets.map((facet) => facetElement(facet, false)))];
  }

  // The table is made when it is first in sight, or unfolded: tables that nobody looks at cost nothing.
  function facetElement(facet, open) {
    const words = wordsAt(axes.facets, facet.place).map(edgeText);
    const name = element("span", { class: "facet-name" }, words.join("  ·  ") || "all pairs");
    const made = element("details", { class: "facet" }, element("summary", {}, name, element("span", { class: "of" }, boxText(sheet, facet.total))));
    const holder = element("div", { class: "scroll" });
    made.append(holder);
    made.open = open;
    const lines = new Set([...facet.boxes.keys()].map((key) => Math.floor(key / sizeOf(axes.columns)))).size;
    holder.style.minHeight = `${(lines + axes.columns.length) * 25}px`;
    inSight(holder, () => {
      holder.style.minHeight = "";
      holder.replaceChildren(tableElement(facet, made));
    });
    return made;
  }

  function tableElement(facet, holder) {
    const width = sizeOf(axes.columns);
    const preset = new Map(allTerms(axes.facets, facet.place)).get("preset");
    const rows = [...new Set([...facet.boxes.keys()].map((key) => Math.floor(key / width)))].sort((a, b) => a - b);
    const columns = [...new Set([...facet.boxes.keys()].map((key) => key % width))].sort((a, b) => a - b);
    const red = [...facet.boxes].filter(([, box]) => differsIn(sheet, box)).map(([key]) => key);
    const redRows = red.map((key) => Math.floor(key / width));
    const redColumns = red.map((key) => key % width);

    // A header's word; a button that asks why where anything under it differs.
    function heading(names, places, { place, word }, level) {
      const meaning = (word === "preset" && preset && sheet.presets[preset] && sheet.presets[preset][names[level].name]) || "";
      const told = [word, meaning ? element("span", { class: "meaning" }, ` ${meaning}`) : null];
      const terms = termsAt(names, place, level + 1);
      const under = (other) => termsAt(names, other, level + 1).every(([, value], i) => value === terms[i][1]);
      if (!places.some(under)) return told;
      return element("button", { type: "button", class: "ask", title: "why?", click: () => showWhy(sheet, holder, allTerms(axes.facets, facet.place), terms, narrow) }, told);
    }

    const head = axes.columns.map((axis, level) =>
      element("tr", {},
        element("th", { class: "axis-name", colspan: Math.max(1, axes.rows.length), scope: "row" }, axis.name),
        spans(columns, axes.columns, level).map((run) => element("th", { scope: "col", colspan: run.span }, heading(axes.columns, redColumns, run, level)))));
    const runs = axes.rows.map((_, level) => spans(rows, axes.rows, level));
    const body = rows.map((row, i) => {
      const names = runs.map((levelRuns, level) => {
        const run = levelRuns.find((candidate) => candidate.start === i);
        return run && element("th", { scope: "row", rowspan: run.span, title: axes.rows[level].name }, heading(axes.rows, redRows, run, level));
      });
      const open = (column) => () => narrow([...allTerms(axes.facets, facet.place), ...allTerms(axes.rows, row), ...allTerms(axes.columns, column)]);
      return element("tr", {}, names, columns.map((column) => boxElement(sheet, facet.boxes.get(row * width + column), pivot.colour, open(column))));
    });
    const caption = `${axes.rows.map((axis) => axis.name).join(", ")} by ${axes.columns.map((axis) => axis.name).join(", ")}`;
    return element("table", { class: "heat" }, element("caption", { class: "unseen" }, caption), element("thead", {}, head), element("tbody", {}, body));
  }

  return {
    show(query, newPivot) {
      turn(newPivot);
      draw(query);
    },
  };
}

// Runs of equal words on one level of a header, so that each is written once.
function spans(places, axes, level) {
  const runs = [];
  let before = null;
  places.forEach((place, i) => {
    const words = wordsAt(axes, place);
    const path = words.slice(0, level + 1).join("\0");
    if (path === before) runs.at(-1).span++;
    else runs.push({ place, start: i, span: 1, word: words[level] });
    before = path;
  });
  return runs;
}

// Calls once, as soon as the element is near what the window shows, or the page is printed.
function inSight(node, show) {
  const once = () => {
    observer.disconnect();
    window.removeEventListener("beforeprint", once);
    if (node.isConnected) show();
  };
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && once(), { rootMargin: "600px" });
  observer.observe(node);
  window.addEventListener("beforeprint", once);
}
