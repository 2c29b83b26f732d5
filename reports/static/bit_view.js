// One element on both lanes, bit under bit: fields apart, differing bits marked, and what the patterns stand for.

function bitView(sheet, lanes, stage, worst) {
  const formats = stage.dtypes.map((dtype) => sheet.formats[dtype]);
  if (!formats[0] || !formats[1]) return element("p", { class: "of" }, `No bits to show: ${stage.dtypes.join(" against ")}.`);
  return element("div", { class: "bit-view" }, worst.map((one) => elementView(formats, lanes, stage, one)));
}

function elementView(formats, lanes, stage, [index, hexA, hexB, ulp]) {
  const bits = [BigInt(`0x${hexA}`), BigInt(`0x${hexB}`)];
  // Codes kept in two dtypes have no bit under bit.
  const differing = stage.dtypes[0] === stage.dtypes[1] ? bits[0] ^ bits[1] : 0n;
  const unit = isFloat(formats[0]) ? "ulp" : "step";
  const distance = ulp === null ? "not comparable" : counted(BigInt(ulp), unit);
  return element("figure", { class: "bits" },
    element("figcaption", {}, element("code", {}, `${stage.stage}[${index.join(", ")}]`), element("span", { class: "of" }, ` ${distance}`)),
    bits.map((pattern, side) => bitRow(pattern, differing, formats[side], "AB"[side], lanes[side])));
}

function bitRow(pattern, differing, format, side, lane) {
  const width = widthOf(format);
  let position = width;
  const fields = fieldsOf(format).map(({ name, bits }) => {
    const boxes = Array.from({ length: bits }, () => {
      position--;
      const set = (pattern >> BigInt(position)) & 1n;
      const differs = (differing >> BigInt(position)) & 1n;
      return element("span", { class: differs ? "bit differs" : "bit" }, String(set));
    });
    return element("span", { class: `field ${name.split(" ")[0]}`, title: name }, boxes);
  });
  const value = valueOf(pattern, format);
  const hex = hexOf(pattern, format);
  const told = typeof value === "bigint" ? String(value) : decimalText(value);
  return element("div", { class: "bit-row" },
    element("span", { class: "side", title: lane }, side),
    element("span", { class: "boxes", role: "img", "aria-label": `${side}: ${hex}` }, fields),
    element("code", { class: "hex" }, hex),
    element("code", { class: "decimal" }, told),
    element("code", { class: "hex-float" }, typeof value === "number" ? hexFloat(value) : ""));
}
