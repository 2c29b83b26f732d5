// The run as columns: every cell's code on every axis, its verdict on every edge, and the findings.

const NO_RECORD = 255;
const NO_STAGE = 255;
const NO_ULP = 2n ** 64n - 1n;
const ARRAYS = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float64: Float64Array,
};

// The bytes of a packed script element: JSON text of base64 of gzip.
async function unpacked(id) {
  const text = atob(JSON.parse(byId(id).textContent));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// Typed views of reports/payload.py's layout; nothing is copied.
function readColumns(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const start = Math.ceil((4 + size) / 8) * 8;
  const columns = {};
  for (const [name, place] of Object.entries(facts.columns)) {
    columns[name] = new ARRAYS[place.type](buffer, start + place.offset, place.length);
  }
  return { facts, columns };
}

async function loadSheet() {
  const { facts, columns } = readColumns(await unpacked("data"));
  const nCells = columns[`axis.${facts.axes[0].name}`].length;
  const findings = {};
  for (const name of Object.keys(columns)) {
    if (name.startsWith("finding.")) findings[name.slice("finding.".length)] = columns[name];
  }
  const findingOf = facts.edges.map(() => new Int32Array(nCells).fill(-1));
  for (let f = 0; f < findings.cell.length; f++) findingOf[findings.edge[f]][findings.cell[f]] = f;
  const sheet = {
    ...facts,
    nCells,
    axes: facts.axes.map((axis) => ({ ...axis, codes: columns[`axis.${axis.name}`] })),
    verdictOf: facts.edges.map((_, edge) => columns[`verdict.${edge}`]),
    message: columns.message,
    findings,
    nFindings: findings.cell.length,
    findingOf,
    detailed: new Set(facts.detailed),
  };
  sheet.axisByName = new Map(sheet.axes.map((axis) => [axis.name, axis]));
  return sheet;
}

// The cell's id: the axes that differ from their default, in the axes' order.
function cellId(sheet, cell) {
  if (String(cell) in sheet.odd) return sheet.odd[cell];
  const parts = [];
  for (const axis of sheet.axes) {
    const code = axis.codes[cell];
    if (code) parts.push(`${axis.name}:${axis.words[code]}`);
  }
  return parts.join(",") || "default";
}

// The position of an id's cell, or -1: parsed onto the axes, and then compared code by code.
function findCell(sheet, id) {
  for (const [cell, text] of Object.entries(sheet.odd)) if (text === id) return Number(cell);
  const wanted = new Map();
  for (const part of id === "default" ? [] : id.split(",")) {
    const colon = part.indexOf(":");
    wanted.set(part.slice(0, colon), part.slice(colon + 1));
  }
  const codes = sheet.axes.map((axis) => (wanted.has(axis.name) ? axis.words.indexOf(wanted.get(axis.name)) : 0));
  for (let cell = 0; cell < sheet.nCells; cell++) {
    if (sheet.axes.every((axis, i) => axis.codes[cell] === codes[i]) && cellId(sheet, cell) === id) return cell;
  }
  return -1;
}

// What "preset" means on an axis for this cell, or "" where the value speaks for itself.
function meaningOf(sheet, cell, axis) {
  if (axis.words[axis.codes[cell]] !== "preset") return "";
  const preset = sheet.axisByName.get("preset");
  const values = sheet.presets[preset.words[preset.codes[cell]]];
  return (values && values[axis.name]) || "";
}

// The text of one pair's message; code 0 is no message.
const messageOf = (sheet, edge, cell) => sheet.messages[sheet.message[edge * sheet.nCells + cell]];

// Held against a baseline, a divergence is new where the baseline's pair did not diverge, whatever the ledger says.
function isNew(sheet, finding) {
  if (sheet.changes) return sheet.changes[sheet.findings.change[finding]] === "new";
  return NEW_VERDICTS.has(sheet.verdicts[sheet.findings.verdict[finding]]);
}

const NEW_VERDICTS = new Set(["diverged", "nondeterministic"]);
const EQUAL_VERDICTS = new Set(["identical", "within", "fixed"]);
const QUIET_VERDICTS = new Set(["identical", "unsupported", "unrun"]);
