// Why is this column red: for each first stage, what the differing pairs have in common that equal ones have not.

function showWhy(sheet, holder, facetScope, terms, narrow) {
  const told = whyText(sheet, facetScope, terms);
  const panel = byId("why");
  const close = element("button", { type: "button", class: "close", "aria-label": "close", click: () => (panel.hidden = true) }, "×");
  const reasons = told.reasons.map((reason) =>
    element("li", {}, stageChip(reason.stage), ` ${counted(reason.pairs, "pair")}: `, element("code", {}, reason.text)));
  panel.replaceChildren(
    close,
    element("p", {}, element("b", {}, terms.map((term) => term.join(":")).join(", ")), `: ${count(told.differing)} of ${count(told.compared)} compared pairs differ.`),
    element("ul", {}, reasons),
    element("button", { type: "button", click: () => narrow([...facetScope, ...terms]) }, "show these findings"),
  );
  holder.querySelector("summary").after(panel);
  panel.hidden = false;
}

// Explained against the equal pairs beside them; where there are none, against those of the whole facet.
function whyText(sheet, facetScope, terms) {
  const inScope = pairsIn(sheet, [...facetScope, ...terms]);
  const inFacet = inScope.equal.length ? inScope : pairsIn(sheet, facetScope);
  const reasons = [...inScope.byStage].sort((a, b) => a[0] - b[0]).map(([stage, cells]) =>
    ({ stage: sheet.stages[stage], pairs: cells.length, text: explanationText(explain(sheet.axes, cells, inFacet.equal)) }));
  return { differing: inScope.differing, compared: inScope.differing + inScope.equal.length, reasons };
}

// Cells of the pairs that these terms mean: equal ones, and differing ones by their first stage.
function pairsIn(sheet, wanted) {
  const axes = wanted.map(([name]) => pivotAxes(sheet, name)[0]);
  const codes = wanted.map(([, word], i) => axes[i].words.indexOf(word));
  const found = { equal: [], byStage: new Map(), differing: 0 };
  for (let edge = 0; edge < sheet.edges.length; edge++) {
    if (!axes.every((axis, i) => axis.codes || edge === codes[i])) continue;
    for (let cell = 0; cell < sheet.nCells; cell++) {
      const verdict = sheet.verdicts[sheet.verdictOf[edge][cell]];
      if (!verdict || !axes.every((axis, i) => !axis.codes || axis.codes[cell] === codes[i])) continue;
      if (EQUAL_VERDICTS.has(verdict)) found.equal.push(cell);
      else if (NEW_VERDICTS.has(verdict) || verdict === "known") {
        const stage = sheet.findings.stage[sheet.findingOf[edge][cell]];
        if (stage === NO_STAGE) continue;
        found.differing++;
        if (!found.byStage.has(stage)) found.byStage.set(stage, []);
        found.byStage.get(stage).push(cell);
      }
    }
  }
  return found;
}
