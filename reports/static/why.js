// Why is this column red: for each first stage, what the differing pairs have in common that equal ones have not.
function showWhy(sheet, holder, axes, facet, terms, label, narrow) {
  const scope = [...allTerms(axes.facets, facet.place), ...terms];
  const told = whyText(sheet, scope, allTerms(axes.facets, facet.place));
  const panel = byId("why");
  const close = element("button", { type: "button", class: "close", "aria-label": "close", click: () => (panel.hidden = true) }, "×");
  const reasons = told.reasons.map((reason) =>
    element("li", {}, stageChip(reason.stage), ` ${counted(reason.pairs, "pair")}: `, element("code", {}, reason.text)));
  panel.replaceChildren(
    close,
    element("p", {}, element("b", {}, terms.map((term) => term.join(":")).join(", ")), `: ${count(told.differing)} of ${count(told.compared)} compared pairs differ.`),
    element("ul", {}, reasons),
    element("button", { type: "button", click: () => narrow(scope) }, "show these findings"),
  );
  holder.querySelector("summary").after(panel);
  panel.hidden = false;
}

function whyText(sheet, scope, facetScope) {
  const inScope = pairsIn(sheet, scope);
  const wider = pairsIn(sheet, facetScope);
  const reasons = [...inScope.byStage].sort((a, b) => a[0] - b[0]).map(([stage, cells]) => {
    const near = explain(sheet.axes, cells, inScope.equal);
    const found = near.where.length || near.others ? near : explain(sheet.axes, cells, wider.equal);
    return { stage: sheet.stages[stage], pairs: cells.length, text: explanationText(found) };
  });
  return { differing: inScope.differing, compared: inScope.differing + inScope.equal.length, reasons };
}

// Cells of the pairs that these terms mean: equal ones, and differing ones by their first stage.
function pairsIn(sheet, terms) {
  const lookups = pivotAxes(sheet, terms.map(([name]) => name).join(","));
  const codes = terms.map(([, word], i) => lookups[i].words.indexOf(word));
  const found = { equal: [], byStage: new Map(), differing: 0 };
  for (let edge = 0; edge < sheet.edges.length; edge++) {
    for (let cell = 0; cell < sheet.nCells; cell++) {
      const verdict = sheet.verdicts[sheet.verdictOf[edge][cell]];
      if (!verdict || !lookups.every((axis, i) => (axis.codes ? axis.codes[cell] : edge) === codes[i])) continue;
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
