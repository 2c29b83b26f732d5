// The stages of one edge in order: equal until the first divergence, then how far it spread.

// As parity.record has it: nothing differs, nor the dtype unless the elements could be compared.
function isEqual(stage) {
  const [a, b] = stage.shapes.map((shape) => shape.join(","));
  return stage.n_different === 0 && a === b && (stage.dtypes[0] === stage.dtypes[1] || stage.max_ulp === "0");
}

const shareOf = (stage) => stage.n_different / Math.max(1, stage.n_total);

// Held against the stages it is computed from: a difference starts here, spreads, is passed on, or is absorbed.
function whatHappened(stage, first, sources) {
  const share = shareOf(stage);
  const inherited = Math.max(0, ...sources.filter((source) => !isEqual(source)).map(shareOf));
  if (isEqual(stage)) return inherited ? "absorbed" : "equal";
  if (stage.stage === first) return "first to differ";
  if (!inherited) return "differs by itself";
  const ratio = share / inherited;
  if (ratio > 1.05) return `amplified × ${ratio.toFixed(1)}`;
  return ratio < 0.95 ? `absorbed × ${ratio.toFixed(2)}` : "passed on";
}

function waterfall(sheet, stages, computed, lanes, first, shown) {
  const rows = stages.map((stage) => {
    const equal = isEqual(stage);
    const dtypes = [0, 1].map((side) => {
      const told = computed[side][stage.stage];
      const inside = told && told[1] !== stage.dtypes[side] ? ` in ${told[1]}` : "";
      const unlike = !equal && stage.dtypes[0] !== stage.dtypes[1];
      return element("td", { class: unlike ? "dtype differs" : "dtype" }, stage.dtypes[side], element("span", { class: "of" }, inside));
    });
    const sources = stages.filter((other) => sheet.sources[stage.stage].includes(other.stage));
    return element("tr", { class: [equal ? "equal" : "differs", stage === shown ? "shown" : ""].join(" ") },
      element("th", { scope: "row" }, element("a", { href: addressOf({ stage: stage.stage }), title: sheet.formulas[stage.stage] }, stageChip(stage.stage))),
      dtypes,
      element("td", { class: "share" }, element("span", { class: "bar", "data-stage": stage.stage, variables: { "--share": `${100 * shareOf(stage)}%` } })),
      element("td", { class: "number" }, equal ? "=" : `${count(stage.n_different)} of ${count(stage.n_total)}`),
      element("td", { class: "number" }, equal || stage.max_ulp === null ? "" : count(BigInt(stage.max_ulp))),
      element("td", { class: "number" }, stage.sqnr_db === null ? "" : stage.sqnr_db.toFixed(1)),
      element("td", { class: "what" }, whatHappened(stage, first, sources)));
  });
  const names = ["stage", `A  ${lanes[0]}`, `B  ${lanes[1]}`, "share differing", "elements", "max ulp", "SQNR dB", "what happened"];
  return element("div", { class: "scroll" }, element("table", { class: "waterfall" },
    element("caption", { class: "unseen" }, "Stages in order, lane A against lane B"),
    element("thead", {}, element("tr", {}, names.map((name, i) => element("th", { scope: "col", class: i > 3 && i < 7 ? "number" : "" }, name)))),
    element("tbody", {}, rows)));
}

function stagePanel(sheet, lanes, stage, measured) {
  const worst = stage.worst.length ? bitView(sheet, lanes, stage, stage.worst) : element("p", { class: "of" }, isEqual(stage) ? "Every element is equal here." : "There are no two elements to compare.");
  return element("section", { class: "stage-panel", "aria-label": stage.stage },
    element("h3", {}, stageChip(stage.stage), " ", element("code", {}, sheet.formulas[stage.stage])),
    element("div", { class: "stage-parts" },
      element("div", {}, histogramView(sheet, stage, measured), measured ? mapView(measured.map) : null),
      element("div", { class: "scroll" }, element("h4", {}, "worst elements"), worst)));
}
