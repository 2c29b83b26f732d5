// Puts the parts together: the address says what is shown, and every change goes through it.

async function start() {
  startTheme();
  const sheet = await loadSheet();
  const list = makeList(sheet, byId("list"), openRow);
  const matrix = makeMatrix(sheet, byId("facets"), narrow);
  const drawPivot = makePivot(sheet, byId("pivot"), (changes) => { replaceAddress(changes); show(); });
  let query = null;
  let drawn = null;
  let overviewTop = 0;

  for (const id of ["filter", "matrix", "list", "help-open"]) byId(id).hidden = false;
  byId("top").hidden = true;
  byId("legend").replaceChildren(...legend(sheet));

  function pivotOf(address) {
    return Object.fromEntries(Object.keys(PIVOT).map((key) => [key, address[key] || PIVOT[key]]));
  }

  // What the address asks for; drawn again only where it changed.
  function show() {
    const address = readAddress();
    const text = address.q || "";
    const pivot = pivotOf(address);
    if (byId("query").value !== text) byId("query").value = text;
    const wanted = JSON.stringify([text, pivot]);
    if (drawn !== wanted) {
      query = compile(sheet, text);
      list.show(matchingRows(sheet, query));
      matrix.show(query, pivot);
      drawPivot(pivot);
      byId("count").textContent = counted(list.length, list.length && list.row(list.length - 1) < 0 ? "pair" : "finding");
      byId("query-note").textContent = query.notes.join("; ");
      drawn = wanted;
    }
    showView(address);
  }

  function showView(address) {
    const cell = address.cell === undefined ? -1 : findCell(sheet, address.cell);
    const overview = byId("overview");
    if (!overview.hidden) overviewTop = window.scrollY;
    const wasOverview = !overview.hidden;
    overview.hidden = address.cell !== undefined;
    byId("cell").hidden = !overview.hidden;
    byId("filter").classList.toggle("in-cell", overview.hidden);
    if (!overview.hidden) {
      if (!wasOverview) window.scrollTo(0, overviewTop);
      list.draw();
      return;
    }
    if (cell < 0) {
      byId("cell").replaceChildren(element("p", { class: "wrong" }, `This run has no cell ${address.cell}.`), element("a", { href: addressOf({ cell: null, edge: null, stage: null }) }, "← overview"));
      return;
    }
    const edge = Math.max(0, address.edge === undefined ? gravestEdge(cell) : sheet.edges.indexOf(address.edge));
    const at = list.indexOf(edge, cell);
    if (at >= 0) list.select(at);
    const state = {
      stage: address.stage,
      place: at < 0 ? "not among the filtered findings" : `${count(at + 1)} of ${count(list.length)}`,
      neighbour: (by) => (at + by < 0 || at + by >= list.length ? null : rowAddress(list.row(at + by))),
    };
    showCell(sheet, byId("cell"), cell, edge, state).then(() => {
      if (wasOverview) {
        window.scrollTo(0, 0);
        byId("cell").focus({ preventScroll: true });
      }
    });
  }

  // The first edge with a finding, or else the first with a record.
  function gravestEdge(cell) {
    const found = sheet.edges.map((_, edge) => sheet.findingOf[edge][cell]).filter((finding) => finding >= 0);
    if (found.length) return sheet.findings.edge[Math.min(...found)];
    return sheet.edges.findIndex((_, edge) => sheet.verdictOf[edge][cell] !== NO_RECORD);
  }

  function rowAddress(row) {
    const { edge, cell } = pairOf(sheet, row);
    return { cell: cellId(sheet, cell), edge: sheet.edges[edge], stage: null };
  }

  function openRow(row) {
    if (row !== undefined) goTo(rowAddress(row));
  }

  // The filter that means these values, beside the terms of the filter that are of other axes.
  function narrow(named) {
    const replaced = new Set(named.map(([name]) => name));
    const kept = terms(byId("query").value).filter((term) => !replaced.has(term.split(":")[0]));
    const added = named.map(([name, word]) => `${name}:${word}`);
    goTo({ q: [...kept, ...added].join(" ") });
    byId("findings").scrollIntoView();
  }

  function step(by) {
    if (!list.length) return;
    if (!byId("overview").hidden) {
      byId("findings").scrollIntoView({ block: "nearest" });
      list.select(list.selected < 0 ? 0 : list.selected + by);
      return;
    }
    const next = list.selected < 0 ? 0 : list.selected + by;
    if (next >= 0 && next < list.length) openRow(list.row(next));
  }

  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("query").addEventListener("input", () => {
    replaceAddress({ q: byId("query").value });
    show();
  });
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  startKeys({
    j: () => step(1),
    k: () => step(-1),
    Enter: () => openRow(list.row(list.selected)),
    Escape: () => byId("overview").hidden && goTo({ cell: null, edge: null, stage: null }),
    "/": () => byId("query").focus(),
    t: nextTheme,
    "?": () => byId("help").showModal(),
  });
  window.addEventListener("hashchange", () => {
    // A link to a part of the page is no address of ours.
    if (!document.getElementById(location.hash.slice(1))) show();
  });
  show();
  document.documentElement.dataset.ready = "true";
}

function legend(sheet) {
  const stages = new Set(sheet.findings.stage);
  const chips = sheet.stages.filter((_, i) => stages.has(i)).map((stage) => element("span", { class: "key" }, stageChip(stage, sheet.short[stage]), ` ${stage}`));
  const key = (kind, sample, text) => element("span", { class: "key" }, element("span", { class: `box ${kind}` }, sample), ` ${text}`);
  const ringed = sheet.changes
    ? [key("new ringed", "2/6", `new against ${sheet.baseline}`), key("new", "2/6", "in no row of the ledger")]
    : [key("new ringed", "2/6", "2 of 6 new")];
  return [...chips, ...ringed, key("known", element("i", { class: "dot" }), "known"), key("equal", "9", "equal"), key("unrun", "9", "unrun"), key("refused", "–", "refused, as it must be")];
}

start();
