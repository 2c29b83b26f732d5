// compile(sheet, text) = which pairs a filter means. Terms are separated by blanks and all hold; "quotes" keep a value
// whole. A term is a function of an edge that returns a byte for each of its cells, found by loops over the columns'
// codes: 300,000 pairs are tested without a call or a string for each.

const TEXT_FIELDS = { signature: "signatures", cause: "causes", ledger: "ledgers" };
const COMPARISONS = {
  "=": (a, b) => a === b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
};

// By verdict code: whether there is a record.
const RECORDED = new Uint8Array(256).fill(1, 0, NO_RECORD);

const terms = (text) => text.match(/(?:[^\s"]|"[^"]*"?)+/g) || [];

// matches[edge][cell] is 1 where the pair has a record and every term holds.
function compile(sheet, text) {
  const tests = [];
  const notes = [];
  let namesVerdicts = false;
  for (const raw of terms(text)) {
    const negated = raw.startsWith("!") && raw.length > 1;
    const { test, note, verdicts } = compileTerm(sheet, negated ? raw.slice(1) : raw);
    if (note) notes.push(note);
    if (verdicts && !negated) namesVerdicts = true;
    if (test) tests.push([test, negated ? 0 : 1]);
  }
  const matches = sheet.edges.map((_, edge) => {
    const kept = looked(RECORDED, sheet.verdictOf[edge]);
    for (const [test, wanted] of tests) {
      const holds = test(edge);
      for (let cell = 0; cell < kept.length; cell++) if (holds[cell] !== wanted) kept[cell] = 0;
    }
    return kept;
  });
  return { matches, notes, namesVerdicts };
}

function compileTerm(sheet, term) {
  const compared = term.match(/^(ulp|n)(>=|<=|>|<|=)(\d+)$/);
  if (compared) return { test: numeric(sheet, compared[1], COMPARISONS[compared[2]], Number(compared[3])) };
  const colon = term.indexOf(":");
  if (colon < 0) return verdictTerm(sheet, term) || { test: anyText(sheet, unquoted(term)) };
  const [key, value] = [term.slice(0, colon), term.slice(colon + 1)];
  if (!value) return { note: `${key}: what? Type a value after the colon.` };
  if (sheet.axisByName.has(key)) {
    const { codes, words } = sheet.axisByName.get(key);
    const table = tableOf(words, value);
    const cells = looked(table, codes);
    return { test: () => cells, note: table.includes(1) ? "" : `no cell has ${key}:${value}; there is ${words.join(", ")}` };
  }
  if (key === "verdict") return verdictTerm(sheet, value) || { note: `${value} is no verdict` };
  if (key === "edge") return { test: edgeTest(sheet, unquoted(value)) };
  if (key === "stage") return { test: ofFindings(sheet, sheet.findings.stage, tableOf(sheet.stages, value)) };
  if (key === "change" && sheet.changes) return { test: ofFindings(sheet, sheet.findings.change, tableOf(sheet.changes, value)) };
  if (key === "message") return { test: ofMessages(sheet, containing(sheet.messages, unquoted(value))) };
  if (key in TEXT_FIELDS) {
    const words = sheet[TEXT_FIELDS[key]];
    const table = value.startsWith('"') ? exactly(words, unquoted(value)) : containing(words, value);
    return { test: ofFindings(sheet, sheet.findings[key], table) };
  }
  return { test: anyText(sheet, unquoted(term)), note: `${key} is no axis, so “${term}” is searched as text` };
}

// new, known, unrun, ... or alternatives of them; null when one is no verdict.
function verdictTerm(sheet, text) {
  const wanted = new Uint8Array(256);
  for (const word of text.split(",")) {
    const means = (verdict) => word === "any" || word === verdict || (word === "new" && NEW_VERDICTS.has(verdict));
    const found = sheet.verdicts.map((verdict, i) => (means(verdict) ? i : -1)).filter((i) => i >= 0);
    if (!found.length) return null;
    for (const i of found) wanted[i] = 1;
  }
  return { verdicts: true, test: (edge) => looked(wanted, sheet.verdictOf[edge]) };
}

const unquoted = (text) => text.replaceAll('"', "");

// Which words one of the comma-separated patterns means; * is any text.
function tableOf(words, value) {
  const escape = (text) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
  const patterns = unquoted(value).split(",").map((pattern) => new RegExp(`^${escape(pattern)}$`, "i"));
  return Uint8Array.from(words, (word) => (patterns.some((pattern) => pattern.test(word)) ? 1 : 0));
}

function containing(words, text) {
  const wanted = text.toLowerCase();
  return Uint8Array.from(words, (word) => (word.toLowerCase().includes(wanted) ? 1 : 0));
}

const exactly = (words, text) => Uint8Array.from(words, (word) => (word === text ? 1 : 0));

// table[code] for each code.
function looked(table, codes) {
  const found = new Uint8Array(codes.length);
  for (let i = 0; i < codes.length; i++) found[i] = table[codes[i]];
  return found;
}

// Text of either lane, or ptq~convert: text of the first and of the second.
function edgeTest(sheet, value) {
  const [first, second] = value.split("~");
  return (edge) => {
    const [a, b] = sheet.edges[edge].split("~");
    const holds = second === undefined ? sheet.edges[edge].includes(first) : a.includes(first) && (b || "").includes(second);
    return new Uint8Array(sheet.nCells).fill(holds ? 1 : 0);
  };
}

function ofMessages(sheet, table) {
  return (edge) => looked(table, sheet.message.subarray(edge * sheet.nCells, (edge + 1) * sheet.nCells));
}

const ofFindings = (sheet, column, table) => findingTest(sheet, (finding) => table[column[finding]] === 1);

function findingTest(sheet, holds) {
  const { edge: edges, cell: cells } = sheet.findings;
  return (edge) => {
    const found = new Uint8Array(sheet.nCells);
    for (let f = 0; f < sheet.nFindings; f++) if (edges[f] === edge && holds(f)) found[cells[f]] = 1;
    return found;
  };
}

function numeric(sheet, name, compare, bound) {
  const { n_different: nDifferent, n_total: nTotal, max_ulp: maxUlp } = sheet.findings;
  if (name === "n") return findingTest(sheet, (f) => nTotal[f] > 0 && compare(nDifferent[f], bound));
  return findingTest(sheet, (f) => maxUlp[f] !== NO_ULP && compare(Number(maxUlp[f]), bound));
}

// Text in the cell's id, the edge, the message, or the words of its finding.
function anyText(sheet, text) {
  const cells = cellsWith(sheet, text);
  const tests = [edgeTest(sheet, text), ofMessages(sheet, containing(sheet.messages, text)), () => cells];
  for (const [name, words] of [["stage", "stages"], ...Object.entries(TEXT_FIELDS)]) {
    const table = containing(sheet[words], text);
    if (table.includes(1)) tests.push(ofFindings(sheet, sheet.findings[name], table));
  }
  return (edge) => {
    const found = new Uint8Array(sheet.nCells);
    for (const test of tests) {
      const holds = test(edge);
      for (let cell = 0; cell < found.length; cell++) found[cell] |= holds[cell];
    }
    return found;
  };
}

// Text in one axis:value that the id names; of text with commas, such as an id, every part is in one of them.
function cellsWith(sheet, text) {
  const cells = new Uint8Array(sheet.nCells).fill(1);
  for (const part of text.split(",")) {
    const found = cellsWithPart(sheet, part);
    for (let cell = 0; cell < cells.length; cell++) cells[cell] &= found[cell];
  }
  return cells;
}

function cellsWithPart(sheet, text) {
  const wanted = text.toLowerCase();
  const cells = new Uint8Array(sheet.nCells);
  for (const axis of sheet.axes) {
    const table = axis.words.map((word, code) => (code && `${axis.name}:${word}`.toLowerCase().includes(wanted) ? 1 : 0));
    if (!table.includes(1)) continue;
    for (let cell = 0; cell < sheet.nCells; cell++) cells[cell] |= table[axis.codes[cell]];
  }
  for (const [cell, id] of Object.entries(sheet.odd)) if (id.toLowerCase().includes(wanted)) cells[cell] = 1;
  if (wanted === "default") for (let cell = 0; cell < sheet.nCells; cell++) if (cellId(sheet, cell) === "default") cells[cell] = 1;
  return cells;
}
