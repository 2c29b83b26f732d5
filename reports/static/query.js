// compile(sheet, text) = which pairs a filter means. Terms are separated by blanks and all hold; "quotes" keep a value
// whole. Every term becomes tables over the codes of columns, so that 300,000 pairs are tested without making a string.

const TEXT_FIELDS = { signature: "signatures", cause: "causes", ledger: "ledgers", message: "messages" };
const COMPARISONS = {
  "=": (a, b) => a === b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
};

const terms = (text) => text.match(/(?:[^\s"]|"[^"]*"?)+/g) || [];

function compile(sheet, text) {
  const tests = [];
  const notes = [];
  let namesVerdicts = false;
  for (const raw of terms(text)) {
    const negated = raw.startsWith("!") && raw.length > 1;
    const { test, note, verdicts } = compileTerm(sheet, negated ? raw.slice(1) : raw);
    if (note) notes.push(note);
    if (verdicts && !negated) namesVerdicts = true;
    if (test) tests.push(negated ? (edge, cell) => !test(edge, cell) : test);
  }
  const matches = (edge, cell) => {
    for (const test of tests) if (!test(edge, cell)) return false;
    return true;
  };
  return { matches, notes, namesVerdicts, empty: tests.length === 0 };
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
    const note = table.includes(1) ? "" : `no cell has ${key}:${value}; there is ${words.join(", ")}`;
    return { test: (_, cell) => table[codes[cell]] === 1, note };
  }
  if (key === "verdict") return verdictTerm(sheet, value) || { note: `${value} is no verdict` };
  if (key === "edge") {
    const table = edgeTable(sheet, unquoted(value));
    return { test: (edge) => table[edge] };
  }
  if (key === "stage") return { test: ofFinding(sheet, sheet.findings.stage, tableOf(sheet.stages, value)) };
  if (key === "message") {
    const table = containing(sheet.messages, unquoted(value));
    return { test: (edge, cell) => table[sheet.message[edge * sheet.nCells + cell]] === 1 };
  }
  if (key in TEXT_FIELDS) {
    const words = sheet[TEXT_FIELDS[key]];
    const table = value.startsWith('"') ? exactly(words, unquoted(value)) : containing(words, value);
    return { test: ofFinding(sheet, sheet.findings[key], table) };
  }
  return { test: anyText(sheet, unquoted(term)), note: `${key} is no axis, so “${term}” is searched as text` };
}

// new, known, unrun, ... or alternatives of them; null when one is no verdict.
function verdictTerm(sheet, text) {
  const wanted = new Uint8Array(256);
  for (const word of text.split(",")) {
    const found = sheet.verdicts.map((verdict, i) => [verdict, i]).filter(([verdict]) => {
      if (word === "any") return true;
      if (word === "new") return NEW_VERDICTS.has(verdict);
      return word === verdict;
    });
    if (!found.length) return null;
    for (const [, i] of found) wanted[i] = 1;
  }
  return { verdicts: true, test: (edge, cell) => wanted[sheet.verdictOf[edge][cell]] === 1 };
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

// Text of either lane, or ptq~convert: text of the first and of the second.
function edgeTable(sheet, value) {
  const [first, second] = value.split("~");
  return sheet.edges.map((edge) => {
    const [a, b] = edge.split("~");
    return second === undefined ? edge.includes(first) : a.includes(first) && (b || "").includes(second);
  });
}

function ofFinding(sheet, column, table) {
  return (edge, cell) => {
    const finding = sheet.findingOf[edge][cell];
    return finding >= 0 && table[column[finding]] === 1;
  };
}

function numeric(sheet, name, compare, bound) {
  return (edge, cell) => {
    const finding = sheet.findingOf[edge][cell];
    if (finding < 0 || sheet.findings.n_total[finding] === 0) return false;
    if (name === "n") return compare(sheet.findings.n_different[finding], bound);
    const ulp = sheet.findings.max_ulp[finding];
    return ulp !== NO_ULP && compare(Number(ulp), bound);
  };
}

// Text in the cell's id, the edge, the message, or the words of its finding.
function anyText(sheet, text) {
  const edges = edgeTable(sheet, text);
  const messages = containing(sheet.messages, text);
  const ofFindings = ["stage", "signature", "cause", "ledger"].map((name) => {
    const words = name === "stage" ? sheet.stages : sheet[TEXT_FIELDS[name]];
    return ofFinding(sheet, sheet.findings[name], containing(words, text));
  });
  const cells = cellsWith(sheet, text);
  return (edge, cell) =>
    edges[edge] ||
    cells[cell] === 1 ||
    messages[sheet.message[edge * sheet.nCells + cell]] === 1 ||
    ofFindings.some((test) => test(edge, cell));
}

// An id with a comma is looked for as a whole; other text in each axis:value that the id names.
function cellsWith(sheet, text) {
  const wanted = text.toLowerCase();
  const cells = new Uint8Array(sheet.nCells);
  if (text.includes(",")) {
    for (let cell = 0; cell < sheet.nCells; cell++) cells[cell] = cellId(sheet, cell).toLowerCase().includes(wanted) ? 1 : 0;
    return cells;
  }
  for (const axis of sheet.axes) {
    const table = axis.words.map((word, code) => (code && `${axis.name}:${word}`.toLowerCase().includes(wanted) ? 1 : 0));
    if (!table.includes(1)) continue;
    for (let cell = 0; cell < sheet.nCells; cell++) cells[cell] |= table[axis.codes[cell]];
  }
  for (const [cell, id] of Object.entries(sheet.odd)) if (id.toLowerCase().includes(wanted)) cells[cell] = 1;
  if (wanted === "default") for (let cell = 0; cell < sheet.nCells; cell++) if (cellId(sheet, cell) === "default") cells[cell] = 1;
  return cells;
}
