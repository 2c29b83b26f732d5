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
    String(cell) in sheet.odd ? element("h2", {}, cellId(sheet, cell)) : axisList(sheet, cell),
    commandLine(rerun(cellId(sheet, cell))),
    edgeTabs(sheet, cell, edge),
    element("section", { class: "edge", "aria-label": sheet.edges[edge] },
      edgeSentence(sheet, cell, edge, finding, detail),
      ledgerEntry(sheet, finding),
      explainedView(sheet, finding, detail && detail.edges[sheet.edges[edge]] && detail.edges[sheet.edges[edge]].explanation),
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
  return element("p", { class: "command" }, element("code", {}, command), copyButton(command));
}

function copyButton(text) {
  const copy = element("button", { type: "button", click: async () => {
    copy.textContent = await copied(text) ? "copied" : "select it";
  } }, "copy");
  return copy;
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
  // Findings first, what was not run last.
  const rank = (i) => (sheet.findingOf[i][cell] >= 0 ? 0 : sheet.verdicts[sheet.verdictOf[i][cell]] === "unrun" ? 2 : 1);
  const order = [...sheet.edges.keys()].filter((i) => sheet.verdictOf[i][cell] !== NO_RECORD).sort((a, b) => rank(a) - rank(b) || a - b);
  const tabs = order.map((i) => {
    const [edge, code] = [sheet.edges[i], sheet.verdictOf[i][cell]];
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
    if (told.ulp) parts.push(`, at most ${told.ulp} ${/codes|zero_point/.test(told.stage) ? (told.ulp === "1" ? "step" : "steps") : "ulp"} apart`);
    if (told.at) parts.push(`, first at ${told.at}`);
    parts.push(". ");
    const cause = sheet.causes[sheet.findings.cause[finding]];
    parts.push(element("b", { class: "cause" }, causeSentence(told.stage, cause)), ". ");
    if (sheet.changes && sheet.findings.change[finding]) parts.push(`Against ${sheet.baseline}: ${sheet.changes[sheet.findings.change[finding]]}. `);
  } else if (verdict === "identical") parts.push("Every stage is equal, bit for bit. ");
  const contract = detail && detail.edges[sheet.edges[edge]] ? `Contract: ${detail.edges[sheet.edges[edge]].contract}. ` : "";
  return element("p", { class: "edge-sentence" }, verdictMark(verdict), " ", parts, message ? `${message} ` : "", element("span", { class: "of" }, contract));
}

function ledgerEntry(sheet, finding) {
  const id = finding >= 0 ? sheet.ledgers[sheet.findings.ledger[finding]] : "";
  if (!id) return null;
  const row = Object.hasOwn(sheet.ledger_rows, id) ? sheet.ledger_rows[id] : null;
  const facts = row
    ? [element("p", {}, row.reason), element("p", { class: "of" }, `${row.owner}, since ${row.date}, until ${row.expires} `, row.link.startsWith("https://") ? element("a", { href: row.link, rel: "noreferrer" }, row.link) : row.link)]
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
  const measured = shown.stage === first ? record.measured : null;
  return element("div", { class: "stages" }, waterfall(sheet, record.stages, computed, lanes, first, shown), stagePanel(sheet, lanes, shown, measured));
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
  return element("p", {}, "Nearest identical cell: ", element("a", { href: addressOf({ cell: cellId(sheet, best), stage: null }) }, element("code", {}, cellId(sheet, best))), differs.length ? ` with ${differs.join(", ")} instead.` : ".");
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

// As parity.explanation has it, and with it the command line and the gate.
function causeSentence(stage, cause) {
  return cause ? `${stage} first; explained by ${cause}` : `${stage} first; no cause is recorded`;
}

// As parity.rerun: a test's name is run again by pytest, a cell of the matrix by parity replay.
function rerun(id) {
  return id.includes("::") ? `pytest ${shellWord(id.replace(/ #[0-9]+$/, ""))}` : `parity replay ${shellWord(id)}`;
}
