// Pairs counted over chosen axes: facet -> row, column -> how many of each verdict and first stage.

// An axis as the pivot sees it: the edge is one as well.
function pivotAxes(sheet, names) {
  const known = new Map(sheet.axes.map((axis) => [axis.name, axis]));
  known.set("edge", { name: "edge", words: sheet.edges, codes: null });
  return names.split(",").map((name) => known.get(name)).filter(Boolean);
}

const sizeOf = (axes) => axes.reduce((product, axis) => product * axis.words.length, 1);

// The mixed-radix numbers of an edge's cells on some axes.
function placesOf(axes, edge, nCells) {
  const places = new Float64Array(nCells);
  for (const axis of axes) {
    const radix = axis.words.length;
    const codes = axis.codes;
    for (let cell = 0; cell < nCells; cell++) places[cell] = places[cell] * radix + (codes ? codes[cell] : edge);
  }
  return places;
}

function wordsAt(axes, place) {
  const words = [];
  for (let i = axes.length - 1; i >= 0; i--) {
    words.unshift(axes[i].words[place % axes[i].words.length]);
    place = Math.floor(place / axes[i].words.length);
  }
  return words;
}

// Which box each pair falls into; it changes with the pivot only, so a filter does not pay for it.
function boxesOf(sheet, axes) {
  const all = [...axes.facets, ...axes.rows, ...axes.columns];
  const numbers = new Map();
  const places = [];
  const boxOf = sheet.edges.map((_, edge) => {
    const keys = placesOf(all, edge, sheet.nCells);
    return Int32Array.from(keys, (key) => {
      let number = numbers.get(key);
      if (number === undefined) {
        numbers.set(key, (number = places.length));
        places.push(key);
      }
      return number;
    });
  });
  return { boxOf, places };
}

// The facets of the pairs that match, each with its total and its boxes by row and column place.
function tally(sheet, query, axes, { boxOf, places }) {
  const nVerdicts = sheet.verdicts.length;
  const counts = new Int32Array(places.length * nVerdicts);
  sheet.edges.forEach((_, edge) => {
    const [matches, verdicts, boxes] = [query.matches[edge], sheet.verdictOf[edge], boxOf[edge]];
    for (let cell = 0; cell < sheet.nCells; cell++) if (matches[cell]) counts[boxes[cell] * nVerdicts + verdicts[cell]]++;
  });
  const nColumns = sizeOf(axes.columns);
  const perFacet = sizeOf(axes.rows) * nColumns;
  const facets = new Map();
  const made = new Map();
  places.forEach((key, number) => {
    const verdicts = counts.subarray(number * nVerdicts, (number + 1) * nVerdicts);
    if (!verdicts.some((n) => n)) return;
    const place = Math.floor(key / perFacet);
    if (!facets.has(place)) facets.set(place, { place, boxes: new Map(), total: newBox(new Int32Array(nVerdicts)) });
    const facet = facets.get(place);
    const box = newBox(verdicts);
    facet.boxes.set(key % perFacet, box);
    made.set(number, [box, facet.total]);
    for (let i = 0; i < nVerdicts; i++) facet.total.verdicts[i] += verdicts[i];
  });
  for (let f = 0; f < sheet.nFindings; f++) {
    const [edge, cell] = [sheet.findings.edge[f], sheet.findings.cell[f]];
    if (query.matches[edge][cell]) for (const box of made.get(boxOf[edge][cell])) add(sheet, box, f);
  }
  return [...facets.values()];
}

// ringed = findings that nobody knew: new against the baseline, or where there is none, in no row of the ledger.
const newBox = (verdicts) => ({ verdicts, stages: new Map(), ulp: -1, ringed: 0 });

function add(sheet, box, finding) {
  const found = sheet.findings;
  const stage = found.stage[finding];
  if (isNew(sheet, finding)) box.ringed++;
  if (stage !== NO_STAGE) box.stages.set(stage, (box.stages.get(stage) || 0) + 1);
  if (found.max_ulp[finding] !== NO_ULP) box.ulp = Math.max(box.ulp, Number(found.max_ulp[finding]));
}

function sumOf(sheet, box, wanted) {
  let sum = 0;
  sheet.verdicts.forEach((verdict, i) => {
    if (wanted(verdict)) sum += box.verdicts[i];
  });
  return sum;
}
const newIn = (sheet, box) => sumOf(sheet, box, (verdict) => NEW_VERDICTS.has(verdict));
const knownIn = (sheet, box) => sumOf(sheet, box, (verdict) => verdict === "known");
const brokenIn = (sheet, box) => sumOf(sheet, box, (verdict) => verdict === "crashed" || verdict === "timeout");
const differsIn = (sheet, box) => newIn(sheet, box) + knownIn(sheet, box) > 0;

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
