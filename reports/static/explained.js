// Why the two lanes of this pair part, where the run kept it: decisions, what was inherited, the oracle, the tie.

function explainedView(sheet, finding, told) {
  if (!told) return elsewhereView(sheet, finding);
  const { explanation, judged, tie } = told;
  const recorded = finding < 0 ? "" : sheet.causes[sheet.findings.cause[finding]];
  const lines = [
    // Said above already, unless other decisions do as well or none was found.
    told.sentence === causeSentence(explanation.first_stage, recorded) ? null : ["Cause", told.sentence],
    explanation.inherited.length
      ? ["Transplant", `Given lane A's ${explanation.given || explanation.first_stage}, lane B makes A's bits again at ${explanation.inherited.join(", ")}: what differs there was inherited.`]
      : ["Transplant", `Given lane A's ${explanation.given || explanation.first_stage}, no later stage of lane B that differed is equal again.`],
    ...judged.map((one) => ["Oracle", element("span", {}, element("code", {}, one.lane), ` ${one.stage ? "is not what it declares: " : "is as it declares: "}${one.sentence}`)]),
  ].filter(Boolean);
  return element("section", { class: "explained", "aria-label": "explanation" },
    element("h3", {}, "Why"),
    element("dl", { class: "reasons" }, lines.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    tie ? tieView(tie) : null,
    told.small ? smallView(told.small) : null);
}

// The plainest cell that parts alike, and a script that stands alone.
function smallView({ cell, script, moved, passing }) {
  return element("div", {},
    element("p", {}, "The plainest cell that parts alike: ", element("code", {}, cell), passing ? element("span", {}, "; the lanes agree with ", element("code", {}, passing), " in ", moved ? element("code", {}, moved) : "the element's place") : null, "."),
    element("details", {}, element("summary", {}, "A script that shows it"), element("pre", { class: "script", tabindex: "0" }, script), copyButton(script)));
}

// Another cell of the same signature was explained in its place.
function elsewhereView(sheet, finding) {
  const signature = finding < 0 ? "" : sheet.signatures[sheet.findings.signature[finding]];
  if (!Object.hasOwn(sheet.explained, signature)) return null;
  const [cell, edge] = sheet.explained[signature];
  return element("p", {}, "Explained on a cell of the same signature: ", element("a", { href: addressOf({ cell, edge, stage: null }) }, element("code", {}, cell)), ".");
}

// x / scale + zero point on the line of codes, exactly, for both lanes; the dashed line is the tie between two codes.
function tieView(tie) {
  const values = tie.places.flatMap((place) => [place.exact, place.tie, place.code]);
  let [low, high] = [Math.floor(Math.min(...values)), Math.ceil(Math.max(...values))];
  const named = element("h4", {}, "distance to the nearest tie: ", element("code", {}, `${tie.stage}[${tie.index.join(", ")}]`), element("span", { class: "of" }, ` x = ${tie.x}`));
  const said = tie.places.map((place, side) => element("li", {},
    element("span", { class: "side" }, "AB"[side]),
    ` x / scale + zero point = ${decimalText(place.exact)}, ${place.ulps.toPrecision(3)} ulp from the tie ${decimalText(place.tie)}; the code is ${place.code} `,
    element("span", { class: "of" }, `scale ${place.scale}`)));
  // A code clamped far from its quotient would squeeze what is to be seen.
  if (high - low > 24) return element("div", {}, named, element("ul", { class: "tie-said" }, said));
  if (high === low) [low, high] = [low - 1, high + 1];
  const at = (value) => ({ "--at": `${(100 * (value - low)) / (high - low)}%` });
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => element("span", { class: "tick", variables: at(low + i) }, String(low + i)));
  const ties = [...new Set(tie.places.map((place) => place.tie))].map((value) => element("span", { class: "tie-mark", variables: at(value), title: `tie ${value}` }));
  const marks = tie.places.map((place, side) => element("span", { class: `quotient side-${"ab"[side]}`, variables: at(place.exact), title: `${"AB"[side]}: ${place.exact}` }, "AB"[side]));
  const label = tie.places.map((place, side) => `${"AB"[side]} at ${place.exact}, code ${place.code}`).join("; ");
  return element("div", {}, named, element("div", { class: "number-line", role: "img", "aria-label": label }, ticks, ties, marks), element("ul", { class: "tie-said" }, said));
}
