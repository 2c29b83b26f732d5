// How far apart the elements are: bin 0 is equal, bin k holds distances in [2^(k-1), 2^k), the last those with one NaN.

function binLabel(bin, bins) {
  if (bin === 0) return "0";
  if (bin === bins - 1) return "NaN";
  if (bin === 1) return "1";
  const [low, high] = [2 ** (bin - 1), 2 ** bin - 1];
  return bin <= 10 ? `${low}–${high}` : `2^${bin - 1}`;
}

// Bars of log height, so that one element in a million is still seen; the counts stand above them.
function histogramView(stage) {
  if (!stage.histogram.length) return element("p", { class: "of" }, "The sides cannot be compared element by element.");
  const filled = new Map(stage.histogram);
  const incomparable = filled.get(stage.bins - 1) || 0;
  const last = Math.max(...[...filled.keys()].filter((bin) => bin < stage.bins - 1), 1);
  const shown = [...Array(last + 1).keys(), ...(incomparable ? [stage.bins - 1] : [])];
  const peak = Math.log2(1 + Math.max(...filled.values()));
  const bars = shown.map((bin) => {
    const n = filled.get(bin) || 0;
    const share = n ? Math.max(3, (100 * Math.log2(1 + n)) / peak) : 0;
    return element("li", { class: bin === 0 ? "equal" : "" },
      element("span", { class: "n" }, n ? count(n) : ""),
      element("span", { class: "bar", variables: { "--share": `${share}%` } }),
      element("span", { class: "bin" }, binLabel(bin, stage.bins)));
  });
  return element("ol", { class: "histogram", "aria-label": "elements by ulp distance" }, bars);
}

// Of the worst elements, on which side of A does B lie: a bias has one sign, noise has both.
function signText(sheet, stage) {
  const [a, b] = stage.dtypes.map((dtype) => sheet.formats[dtype]);
  if (!a || !b || !stage.worst.length) return "";
  const pairs = stage.worst.map(([, hexA, hexB]) => [valueOf(BigInt(`0x${hexA}`), a), valueOf(BigInt(`0x${hexB}`), b)]);
  const above = pairs.filter(([x, y]) => y > x).length;
  const below = pairs.filter(([x, y]) => y < x).length;
  return `Of the ${pairs.length} worst, B is above A in ${above} and below in ${below}.`;
}
