// Pairs counted over chosen axes: facet -> row, column -> how many of each verdict and first stage.

// An axis as the pivot sees it: the edge is one as well.
function pivotAxes(sheet, names) {
  const known = new Map(sheet.axes.map((axis) => [axis.name, axis]));
  known.set("edge", { name: "edge", words: sheet.edges, codes: null });
  return names.split(",").map((name) => known.get(name)).filter(Boolean);
}

const sizeOf = (axes) => axes.reduce((product, axis) => product * axis.words.length, 1);

// The mixed-radix number of a pair on some axes.
function placeOf(axes, edge, cell) {
  let place = 0;
  for (const axis of axes) place = place * axis.words.length + (axis.codes ? axis.codes[cell] : edge);
  return place;
}

function wordsAt(axes, place) {
  const words = [];
  for (let i = axes.length - 1; i >= 0; i--) {
    words.unshift(axes[i].words[place % axes[i].words.length]);
    place = Math.floor(place / axes[i].words.length);
  }
  return words;
}

// facet place -> row place -> column place -> box: counts of verdicts and, of differing pairs, of first stages.
function tally(sheet, query, axes) {
  const facets = new Map();
  for (let edge = 0; edge < sheet.edges.length; edge++) {
    const verdicts = sheet.verdictOf[edge];
    for (let cell = 0; cell < sheet.nCells; cell++) {
      if (verdicts[cell] === NO_RECORD || !query.matches(edge, cell)) continue;
      const facetPlace = placeOf(axes.facets, edge, cell);
      let facet = facets.get(facetPlace);
      if (!facet) facets.set(facetPlace, (facet = { place: facetPlace, boxes: new Map(), total: newBox(sheet) }));
      const key = placeOf(axes.rows, edge, cell) * facetWidth(axes) + placeOf(axes.columns, edge, cell);
      let box = facet.boxes.get(key);
      if (!box) facet.boxes.set(key, (box = newBox(sheet)));
      add(sheet, box, edge, cell);
      add(sheet, facet.total, edge, cell);
    }
  }
  return facets;
}

const facetWidth = (axes) => sizeOf(axes.columns);

const newBox = (sheet) => ({ verdicts: new Int32Array(sheet.verdicts.length), stages: new Map(), ulp: -1 });

function add(sheet, box, edge, cell) {
  box.verdicts[sheet.verdictOf[edge][cell]]++;
  const finding = sheet.findingOf[edge][cell];
  if (finding < 0) return;
  const found = sheet.findings;
  if (found.stage[finding] !== NO_STAGE) box.stages.set(found.stage[finding], (box.stages.get(found.stage[finding]) || 0) + 1);
  if (found.n_total[finding] && found.max_ulp[finding] !== NO_ULP) box.ulp = Math.max(box.ulp, Number(found.max_ulp[finding]));
}

const sumOf = (sheet, box, wanted) => sheet.verdicts.reduce((sum, verdict, i) => sum + (wanted(verdict) ? box.verdicts[i] : 0), 0);
const newIn = (sheet, box) => sumOf(sheet, box, (verdict) => NEW_VERDICTS.has(verdict));
const knownIn = (sheet, box) => sumOf(sheet, box, (verdict) => verdict === "known");
const brokenIn = (sheet, box) => sumOf(sheet, box, (verdict) => verdict === "crashed" || verdict === "timeout");

// "96 new, 12 known, 1,200 identical": every verdict that occurs.
function boxText(sheet, box) {
  return sheet.verdicts
    .map((verdict, i) => [verdict, box.verdicts[i]])
    .filter(([, n]) => n)
    .map(([verdict, n]) => `${count(n)} ${verdict === "diverged" ? "new" : verdict}`)
    .join(", ");
}

const termsAt = (axes, place, levels) => wordsAt(axes, place).slice(0, levels).map((word, i) => [axes[i].name, word]);
const allTerms = (axes, place) => termsAt(axes, place, axes.length);
const termsMatch = (axes, place, terms) => wordsAt(axes, place).slice(0, terms.length).every((word, i) => word === terms[i][1]);
