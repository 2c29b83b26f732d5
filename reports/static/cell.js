// The page of one cell: its axes, its edges, and for one edge the stages side by side, with bits and histogram of one.

let detailPromise = null;

// The stages of the chosen cells are unpacked when the first of them is opened.
function loadDetail() {
  detailPromise ||= unpacked("detail").then((buffer) => JSON.parse(new TextDecoder().decode(buffer)));
  return detailPromise;
}

// One argument for a shell, whatever it holds.
const shellWord = (text) => (/^[\w.:,+~-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

async function showCell(sheet, container, cell, edge, state) {
  const detail = sheet.detailed.has(cell) ? (await loadDetail())[cell] : null;
  const finding = sheet.findingOf[edge][cell];
  container.replaceChildren(
    cellHead(sheet, cell, state),
    axisList(sheet, cell),
    commandLine(`parity replay ${shellWord(cellId(sheet, cell))}`),
    edgeTabs(sheet, cell, edge),
    element("section", { class: "edge", "aria-label": sheet.edges[edge] },
      edgeSentence(sheet, cell, edge, finding, detail),
      ledgerEntry(sheet, finding),
      stagesView(sheet, cell, edge, finding, detail, state.stage),
      neighbourView(sheet, cell, edge, finding)),
    lanesView(detail),
  );
}

function cellHead(sheet, cell, state) {
  const step = (by, key, text) => element("a", { href: addressOf(state.neighbour(by)), class: "step", "aria-keyshortcuts": key }, text, " ", element("kbd", {}, key));
  return element("nav", { class: "cell-nav", "aria-label": "findings" },
    element("a", { href: addressOf({ cell: null, edge: null, stage: null }), class: "step" }, "← overview ", element("kbd", {}, "Esc")),
    element("span", { class: "spring" }),
    element("span", { class: "of" }, state.place),
    state.neighbour(-1) ? step(-1, "k", "previous") : null,
    state.neighbour(1) ? step(1, "j", "next") : null);
}

function axisList(sheet, cell) {
  const parts = (axes) => axes.map((axis) => {
    const meaning = meaningOf(sheet, cell, axis);
    const word = axis.words[axis.codes[cell]];
    return element("div", { title: axis.meaning }, element("dt", {}, axis.name), element("dd", {}, word, meaning ? element("span", { class: "of" }, ` = ${meaning}`) : null));
  });
  const named = sheet.axes.filter((axis) => axis.codes[cell]);
  const rest = sheet.axes.filter((axis) => !axis.codes[cell]);
  return element("header", { class: "cell-head" },
    element("h2", {}, cellId(sheet, cell)),
    named.length ? element("dl", { class: "axes" }, parts(named)) : null,
    element("details", {}, element("summary", {}, `${counted(rest.length, "axis").replace("axiss", "axes")} at the default`), element("dl", { class: "axes default" }, parts(rest))));
}

function commandLine(command) {
  const copy = element("button", { type: "button", click: async () => {
    copy.textContent = await copied(command) ? "copied" : "select it";
  } }, "copy");
  return element("p", { class: "command" }, element("code", {}, command), copy);
}

// A page from disk may not be allowed to write the clipboard.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function edgeTabs(sheet, cell, chosen) {
  const tabs = sheet.edges.map((edge, i) => {
    const code = sheet.verdictOf[i][cell];
    if (code === NO_RECORD) return null;
    const address = addressOf({ edge, stage: null });
    return element("a", { href: address, "aria-current": i === chosen ? "true" : null }, verdictMark(sheet.verdicts[code]), " ", edgeText(edge));
  });
  return element("nav", { class: "edges", "aria-label": "edges" }, tabs);
}

// What happened on this edge, in a sentence.
function edgeSentence(sheet, cell, edge, finding, detail) {
  const verdict = sheet.verdicts[sheet.verdictOf[edge][cell]];
  const message = messageOf(sheet, edge, cell);
  const parts = [];
  if (finding >= 0 && sheet.findings.stage[finding] !== NO_STAGE) {
    const told = rowTexts(sheet, finding);
    parts.push(stageChip(told.stage), ` is the first stage that differs`);
    if (told.elements) parts.push(`: ${told.elements} elements`);
    if (told.ulp) parts.push(`, at most ${told.ulp} ulp`);
    if (told.at) parts.push(`, first at ${told.at}`);
    parts.push(". ");
    const cause = sheet.causes[sheet.findings.cause[finding]];
    parts.push(...(cause ? ["Cause: ", element("code", {}, cause), ". "] : ["Its cause is unknown. "]));
  } else if (verdict === "identical") parts.push("Every stage is equal, bit for bit. ");
  const contract = detail && detail.edges[sheet.edges[edge]] ? `Contract: ${detail.edges[sheet.edges[edge]].contract}. ` : "";
  return element("p", { class: "edge-sentence" }, verdictMark(verdict), " ", parts, message ? `${message} ` : "", element("span", { class: "of" }, contract));
}

function ledgerEntry(sheet, finding) {
  const id = finding >= 0 ? sheet.ledgers[sheet.findings.ledger[finding]] : "";
  if (!id) return null;
  const row = Object.hasOwn(sheet.ledger_rows, id) ? sheet.ledger_rows[id] : null;
  const facts = row
    ? [element("p", {}, row.reason), element("p", { class: "of" }, `${row.owner}, since ${row.date}, until ${row.expires}${row.link ? `: ${row.link}` : ""}`)]
    : [element("p", { class: "of" }, "The ledger of the checkout that made this page has no such row.")];
  return element("aside", { class: "ledger" }, element("p", {}, "Known: ledger row ", element("code", {}, id)), facts);
}

function stagesView(sheet, cell, edge, finding, detail, wanted) {
  const record = detail && detail.edges[sheet.edges[edge]];
  if (!record || !record.stages.length) {
    if (finding < 0 || sheet.findings.n_total[finding] === 0) return null;
    return element("p", { class: "of" }, "The page keeps every stage of 300 cells, and of the others the first that differs: the command above makes the rest again.");
  }
  const lanes = sheet.edges[edge].split("~");
  const computed = lanes.map((lane) => (detail.lanes[lane] ? detail.lanes[lane].stages : {}));
  const first = sheet.findings.stage[finding] === NO_STAGE ? "" : sheet.stages[sheet.findings.stage[finding]];
  const shown = record.stages.find((stage) => stage.stage === wanted) || record.stages.find((stage) => stage.stage === first) || record.stages[0];
  return element("div", { class: "stages" }, waterfall(sheet, record.stages, computed, lanes, first, shown), stagePanel(sheet, lanes, shown));
}

// Equal until the first divergence; after it, whether a stage spread the difference or swallowed it.
function whatHappened(stage, before, first) {
  if (stage.stage === first) return "first to differ";
  if (stage.n_different === 0) return before && before.n_different ? "absorbed: equal again" : "equal";
  if (!before || !before.n_different) return "differs";
  const [now, then] = [stage.n_different / stage.n_total, before.n_different / before.n_total];
  if (now > then * 1.05) return `amplified × ${(now / then).toFixed(1)}`;
  return now < then * 0.95 ? `absorbed × ${(now / then).toFixed(2)}` : "passed on";
}

function waterfall(sheet, stages, computed, lanes, first, shown) {
  let before = null;
  const rows = stages.map((stage) => {
    const share = (100 * stage.n_different) / Math.max(1, stage.n_total);
    const differs = stage.n_different > 0 || stage.dtypes[0] !== stage.dtypes[1];
    const dtypes = [0, 1].map((side) => {
      const told = computed[side][stage.stage];
      const inside = told && told[1] !== stage.dtypes[side] ? ` in ${told[1]}` : "";
      return element("td", { class: stage.dtypes[0] === stage.dtypes[1] ? "dtype" : "dtype differs" }, stage.dtypes[side], element("span", { class: "of" }, inside));
    });
    const row = element("tr", { class: [differs ? "differs" : "equal", stage === shown ? "shown" : ""].join(" ") },
      element("th", { scope: "row" }, element("a", { href: addressOf({ stage: stage.stage }), title: sheet.formulas[stage.stage] }, stageChip(stage.stage))),
      dtypes,
      element("td", { class: "share" }, element("span", { class: "bar", "data-stage": stage.stage, variables: { "--share": `${share}%` } })),
      element("td", { class: "number" }, differs ? `${count(stage.n_different)} of ${count(stage.n_total)}` : "="),
      element("td", { class: "number" }, differs && stage.max_ulp !== null ? count(BigInt(stage.max_ulp)) : ""),
      element("td", { class: "number" }, stage.sqnr_db === null ? "" : stage.sqnr_db.toFixed(1)),
      element("td", { class: "what" }, whatHappened(stage, before, first)));
    before = stage;
    return row;
  });
  const names = ["stage", `A  ${lanes[0]}`, `B  ${lanes[1]}`, "share differing", "elements", "max ulp", "SQNR dB", "what happened"];
  return element("div", { class: "scroll" }, element("table", { class: "waterfall" },
    element("caption", { class: "unseen" }, "Stages in order, lane A against lane B"),
    element("thead", {}, element("tr", {}, names.map((name, i) => element("th", { scope: "col", class: i > 3 && i < 7 ? "number" : "" }, name)))),
    element("tbody", {}, rows)));
}

function stagePanel(sheet, lanes, stage) {
  const worst = stage.worst.length ? bitView(sheet, lanes, stage, stage.worst) : element("p", { class: "of" }, "Every element is equal here.");
  return element("section", { class: "stage-panel", "aria-label": stage.stage },
    element("h3", {}, stageChip(stage.stage), " ", element("code", {}, sheet.formulas[stage.stage])),
    element("div", { class: "stage-parts" },
      element("div", {}, element("h4", {}, "elements by distance"), histogramView(stage), element("p", { class: "of" }, signText(sheet, stage))),
      element("div", { class: "scroll" }, element("h4", {}, `worst elements`), worst)));
}

// The equal cell of this edge that differs from this one on the fewest axes.
function neighbourView(sheet, cell, edge, finding) {
  if (finding < 0) return null;
  let best = -1;
  let least = Infinity;
  for (let other = 0; other < sheet.nCells; other++) {
    if (sheet.verdicts[sheet.verdictOf[edge][other]] !== "identical") continue;
    let apart = 0;
    for (const axis of sheet.axes) if (axis.codes[cell] !== axis.codes[other]) apart++;
    if (apart < least) [best, least] = [other, apart];
  }
  if (best < 0) return element("p", { class: "of" }, "No cell of this edge is identical.");
  const differs = sheet.axes.filter((axis) => axis.codes[cell] !== axis.codes[best]).map((axis) => `${axis.name}:${axis.words[axis.codes[best]]}`);
  return element("p", {}, "Nearest identical cell: ", element("a", { href: addressOf({ cell: cellId(sheet, best), stage: null }) }, element("code", {}, cellId(sheet, best))), ` with ${differs.join(", ")} instead.`);
}

function lanesView(detail) {
  if (!detail) return null;
  const rows = Object.entries(detail.lanes).map(([lane, record]) => element("tr", {},
    element("th", { scope: "row" }, element("code", {}, lane)),
    element("td", {}, record.outcome),
    element("td", {}, record.message || record.coverage.filter(([, n]) => n).map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`).join(", "))));
  return element("section", { class: "lanes" }, element("h3", {}, "Lanes and what their inputs visited"),
    element("table", { class: "rows" }, element("caption", { class: "unseen" }, "Lanes"), element("tbody", {}, rows)));
}
