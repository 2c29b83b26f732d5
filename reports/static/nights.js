// Any two nights compared by their signatures, and by their bits where both had the same cells.

const STAGES_IN_ORDER = ["raise", "input.scale", "input.zero_point", "input.codes", "input.dequantized", "weight.scale", "weight.zero_point", "weight.codes", "weight.packed", "weight.dequantized", "output.scale", "output.zero_point", "output.codes", "output", "grad.input", "grad.weight"];
const ULP_IN_ORDER = ["-", "0", "1", "2-7", "8-127", "128-32767", ">=32768", "nan", "dtype", "shape"];
const COUNT_IN_ORDER = ["-", "one", "<1%", "<10%", "<50%", "most", "all"];
const KINDS = ["new", "moved earlier", "worsened", "fixed", "improved", "unchanged"];

function partsOf(text) {
  const [edge, stage, cause, ulp, share] = text.split("|");
  return { text, edge, cause, place: STAGES_IN_ORDER.indexOf(stage), stage, ulp: ULP_IN_ORDER.indexOf(ulp), share: COUNT_IN_ORDER.indexOf(share) };
}

// A signature that is there alone is paired with one of its edge that is gone: of the same stage, or else the nearest.
function comparedSignatures(before, after) {
  const gone = Object.keys(before).filter((text) => !(text in after)).map(partsOf);
  const rows = [];
  for (const text of Object.keys(after)) {
    const now = partsOf(text);
    if (text in before) {
      rows.push({ kind: "unchanged", now, then: now, pairs: after[text][0], was: before[text][0] });
      continue;
    }
    const kin = gone.filter((then) => then.edge === now.edge).sort((a, b) => Math.abs(a.place - now.place) - Math.abs(b.place - now.place));
    const then = kin[0];
    if (then) gone.splice(gone.indexOf(then), 1);
    rows.push({ kind: kindOf(then, now), now, then, pairs: after[text][0], was: then ? before[then.text][0] : 0 });
  }
  for (const then of gone) rows.push({ kind: "fixed", now: then, then, pairs: 0, was: before[then.text][0] });
  return rows.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.pairs - a.pairs);
}

function kindOf(then, now) {
  if (!then) return "new";
  if (now.place !== then.place) return now.place < then.place ? "moved earlier" : "improved";
  if (now.ulp > then.ulp || now.share > then.share) return "worsened";
  return now.ulp === then.ulp && now.share === then.share ? "unchanged" : "improved";
}

function movedBits(before, after) {
  if (before.cells !== after.cells) return null;
  return Object.keys(after.bits).filter((key) => key in before.bits && before.bits[key] !== after.bits[key]);
}

function parted(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}

function showComparison(box, before, after) {
  const rows = comparedSignatures(before.signatures, after.signatures);
  const totals = KINDS.map((kind) => [kind, rows.filter((row) => row.kind === kind).length]).filter(([, n]) => n);
  const moved = movedBits(before, after);
  const facts = ["setting", "subject"].flatMap((part) => parted(before[part], after[part]).map((name) => element("li", {}, `${part}: ${name} is ${JSON.stringify(before[part][name] ?? null)} in the first and ${JSON.stringify(after[part][name] ?? null)} in the second`)));
  const told = moved === null ? "The two nights planned other cells, so their bits are not compared here." : moved.length ? `Bits moved: ${moved.map((key) => key.replace("|", " at ")).join(", ")}.` : "No bit moved in any lane.";
  box.replaceChildren(
    element("p", { class: "verdict" }, totals.length ? totals.map(([kind, n]) => `${count(n)} ${kind}`).join("; ") : "No divergence in either night."),
    element("p", {}, told, " ", element("code", {}, `parity gate --baseline ${before.name} --candidate ${after.name}`), " follows every pair and every digest."),
    facts.length ? element("ul", { class: "facts-differ" }, facts) : element("p", { class: "of" }, "Setting and subject are equal."),
    rows.length ? element("div", { class: "scroll" }, signatureTable(rows)) : null,
  );
}

function signatureTable(rows) {
  const head = element("tr", {}, ["what", "pairs before", "pairs after", "first stage", "edge", "cause"].map((name) => element("th", { scope: "col", class: name.startsWith("pairs") ? "number" : null }, name)));
  const body = rows.map((row) => element("tr", {},
    element("td", {}, element("span", { class: `mark kind-${row.kind.replace(" ", "-")}` }, row.kind)),
    element("td", { class: "number" }, count(row.was)),
    element("td", { class: "number" }, count(row.pairs)),
    element("td", {}, row.then && row.then.stage !== row.now.stage ? [stageChip(row.then.stage), " → "] : null, stageChip(row.now.stage)),
    element("td", {}, element("code", {}, edgeText(row.now.edge))),
    element("td", {}, row.now.cause === "-" ? "" : element("code", {}, row.now.cause))));
  return element("table", { class: "rows" }, element("caption", { class: "unseen" }, "Signatures of two nights"), element("thead", {}, head), element("tbody", {}, body));
}

function startNights() {
  startTheme();
  const data = byId("data");
  if (data) {
    const nights = JSON.parse(data.textContent);
    const byName = new Map(nights.map((night) => [night.name, night]));
    const [a, b] = [byId("before"), byId("after")];
    const show = () => {
      const address = readAddress();
      a.value = byName.has(address.before) ? address.before : nights[Math.max(0, nights.length - 2)].name;
      b.value = byName.has(address.after) ? address.after : nights[nights.length - 1].name;
      showComparison(byId("compared"), byName.get(a.value), byName.get(b.value));
    };
    for (const select of [a, b]) select.addEventListener("change", () => goTo({ before: a.value, after: b.value }));
    byId("compare").hidden = false;
    window.addEventListener("hashchange", show);
    show();
  }
  document.documentElement.dataset.ready = "true";
}

startNights();
