// The findings that match, as rows of which only those in sight are in the document.

const ROW_HEIGHT = 28;
const OVERSCAN = 8;
const COLUMNS = ["verdict", "first stage", "elements", "max ulp", "at", "edge", "cell"];

// Rows: a finding f is f, a pair that is no finding is -1 - (edge * nCells + cell).
function matchingRows(sheet, query) {
  const rows = [];
  const { cell, edge } = sheet.findings;
  for (let f = 0; f < sheet.nFindings; f++) if (query.matches[edge[f]][cell[f]]) rows.push(f);
  if (!query.namesVerdicts) return rows;
  for (let e = 0; e < sheet.edges.length; e++) {
    const [matches, findings] = [query.matches[e], sheet.findingOf[e]];
    for (let c = 0; c < sheet.nCells; c++) if (matches[c] && findings[c] < 0) rows.push(-1 - (e * sheet.nCells + c));
  }
  return rows;
}

function pairOf(sheet, row) {
  if (row >= 0) return { edge: sheet.findings.edge[row], cell: sheet.findings.cell[row] };
  const pair = -1 - row;
  return { edge: Math.floor(pair / sheet.nCells), cell: pair % sheet.nCells };
}

// What a row says, column by column; the last two are long and may be cut off by the page.
function rowTexts(sheet, row) {
  const { edge, cell } = pairOf(sheet, row);
  const found = sheet.findings;
  const measured = row >= 0 && found.n_total[row] > 0;
  const ulp = measured && found.max_ulp[row] !== NO_ULP ? count(found.max_ulp[row]) : "";
  const index = row >= 0 ? sheet.first_indices[found.first_index[row]] : "";
  return {
    verdict: sheet.verdicts[sheet.verdictOf[edge][cell]],
    stage: row >= 0 && found.stage[row] !== NO_STAGE ? sheet.stages[found.stage[row]] : "",
    elements: measured ? `${count(found.n_different[row])} of ${count(found.n_total[row])}` : "",
    ulp,
    at: index ? `[${index}]` : "",
    edge: sheet.edges[edge],
    cell: cellId(sheet, cell),
    message: messageOf(sheet, edge, cell),
  };
}

const verdictMark = (verdict) => element("span", { class: `mark v-${verdict}` }, verdict);

// open(row) is called for the row that is clicked.
function makeList(sheet, container, open) {
  const body = element("div", { class: "list-body", role: "rowgroup" });
  const viewport = element("div", { class: "list-viewport", tabindex: "0", role: "grid", "aria-label": "Findings", scroll: draw }, body);
  const head = element("div", { class: "list-row list-head", "aria-hidden": "true" }, COLUMNS.map((name) => element("span", {}, name)));
  container.replaceChildren(head, viewport);
  let rows = [];
  let selected = -1;

  function rowElement(i) {
    const told = rowTexts(sheet, rows[i]);
    const cells = [
      verdictMark(told.verdict),
      told.stage ? stageChip(told.stage) : "",
      told.elements,
      told.ulp,
      told.at,
      edgeText(told.edge),
      told.cell + (told.message ? `  ${told.message}` : ""),
    ];
    const title = [told.cell, told.message].filter(Boolean).join("\n");
    const made = element(
      "div",
      {
        class: "list-row",
        id: `row-${i}`,
        role: "row",
        "aria-rowindex": i + 1,
        "aria-selected": String(i === selected),
        click: () => open(rows[select(i)]),
        title,
      },
      cells.map((cell) => element("span", { role: "gridcell" }, cell)),
    );
    made.style.top = `${i * ROW_HEIGHT}px`;
    return made;
  }

  function draw() {
    const first = Math.max(0, Math.floor(viewport.scrollTop / ROW_HEIGHT) - OVERSCAN);
    const last = Math.min(rows.length, Math.ceil((viewport.scrollTop + viewport.clientHeight) / ROW_HEIGHT) + OVERSCAN);
    body.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, i) => rowElement(first + i)));
    viewport.setAttribute("aria-activedescendant", selected >= first && selected < last ? `row-${selected}` : "");
  }

  function select(i) {
    selected = Math.max(0, Math.min(rows.length - 1, i));
    const top = selected * ROW_HEIGHT;
    if (top < viewport.scrollTop) viewport.scrollTop = top;
    if (top + ROW_HEIGHT > viewport.scrollTop + viewport.clientHeight) viewport.scrollTop = top + ROW_HEIGHT - viewport.clientHeight;
    draw();
    return selected;
  }

  function show(newRows) {
    rows = newRows;
    selected = -1;
    body.style.height = `${rows.length * ROW_HEIGHT}px`;
    viewport.style.height = `min(${Math.max(1, rows.length) * ROW_HEIGHT + 2}px, 70vh)`;
    viewport.setAttribute("aria-rowcount", rows.length);
    viewport.scrollTop = 0;
    draw();
  }

  // The row of a pair, or -1.
  const indexOf = (edge, cell) => rows.findIndex((row) => {
    const pair = pairOf(sheet, row);
    return pair.edge === edge && pair.cell === cell;
  });

  return { show, select, draw, indexOf, row: (i) => rows[i], get selected() { return selected; }, get length() { return rows.length; } };
}
