// How far apart the elements are: bin 0 is equal, bin k holds distances in [2^(k-1), 2^k), the last those with one NaN.

function binLabel(bin, bins) {
  if (bin === 0) return "0";
  if (bin === bins - 1) return "one is NaN";
  if (bin === 1) return "1";
  return bin <= 10 ? `${count(2 ** (bin - 1))}–${count(2 ** bin - 1)}` : `2^${bin - 1}–2^${bin}`;
}

// Bars of log length, so that one element in a million is still seen; the counts stand beside them. Where the tensors
// were kept, elements of which B is the smaller stand on the left; else it is said which way the worst ones go.
function histogramView(sheet, stage, measured) {
  if (!stage.histogram.length) return element("p", { class: "of" }, `${stage.dtypes.join(" against ")}: no element can be compared with another.`);
  const peak = Math.log2(1 + Math.max(...stage.histogram.map(([, n]) => n)));
  const share = (n) => `${n ? Math.max(2, (100 * Math.log2(1 + n)) / peak) : 0}%`;
  const bar = (n, side) => [element("td", { class: `n ${side}` }, n ? count(n) : ""), element("td", { class: `bar-cell ${side}` }, element("span", { class: "bar", variables: { "--share": share(n) } }))];
  const below = new Map(measured ? measured.below : []);
  const rows = stage.histogram.map(([bin, n]) => {
    const label = element("th", { scope: "row" }, binLabel(bin, stage.bins));
    const left = below.get(bin) || 0;
    const kind = bin === 0 ? "equal" : "";
    if (!measured) return element("tr", { class: kind }, label, bar(n, "right").reverse());
    return element("tr", { class: kind }, bar(left, "left"), label, bar(n - left, "right").reverse());
  });
  const unit = stage.dtypes.every((dtype) => sheet.formats[dtype] && isFloat(sheet.formats[dtype])) ? "ulp" : "steps";
  const head = measured ? element("thead", {}, element("tr", {}, element("th", { colspan: 2, scope: "colgroup" }, "B below A"), element("th", { scope: "col" }, unit), element("th", { colspan: 2, scope: "colgroup" }, "equal, or B above A"))) : null;
  return element("div", {},
    element("h4", {}, `elements by distance in ${unit}`),
    element("table", { class: "histogram" }, element("caption", { class: "unseen" }, "Elements by distance"), head, element("tbody", {}, rows)),
    measured ? null : element("p", { class: "of" }, signText(sheet, stage)));
}

// Of the worst elements, on which side of A does B lie: a bias has one sign, noise has both.
function signText(sheet, stage) {
  const [a, b] = stage.dtypes.map((dtype) => sheet.formats[dtype]);
  if (!a || !b || !stage.worst.length) return "";
  const pairs = stage.worst.map(([, hexA, hexB]) => [valueOf(BigInt(`0x${hexA}`), a), valueOf(BigInt(`0x${hexB}`), b)]);
  const above = pairs.filter(([x, y]) => y > x).length;
  const below = pairs.filter(([x, y]) => y < x).length;
  return `Of the ${counted(pairs.length, "worst element").replace("1 worst", "worst")}, B is above A in ${above} and below in ${below}.`;
}

// Where in the tensor: rows down, last axis across, darker where more of a block differs.
function mapView({ block: [height, width], shape, counts }) {
  const full = height * width;
  const rows = counts.map((row, r) => element("div", { class: "map-row" }, row.map((n, c) =>
    element("span", { class: n ? "differs" : "", variables: { "--share": `${n ? 25 + (75 * n) / full : 0}%` }, title: `${count(n)} of ${full} at [${r * height}, ${c * width}]` }))));
  const told = full > 1 ? `; each box is ${height} × ${width}` : "";
  return element("div", {}, element("h4", {}, `where in ${shape.join(" × ")}${told}`), element("div", { class: counts[0].length > 16 ? "map" : "map small", role: "img", "aria-label": "differing elements by place" }, rows));
}
