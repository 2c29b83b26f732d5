// Bit patterns as numbers and text: the same rows of parity.formats that the records are made by.

const isFloat = (format) => "mantissa_bits" in format;
const widthOf = (format) => (isFloat(format) ? 1 + format.exponent_bits + format.mantissa_bits : format.width);

// value = (-1)^sign * (m / 2^mantissa_bits + [e > 0]) * 2^(max(e, 1) - bias): exact, no format is wider than a Number.
function floatValue(bits, format) {
  const width = BigInt(widthOf(format));
  const mantissaBits = BigInt(format.mantissa_bits);
  const magnitude = bits & ((1n << (width - 1n)) - 1n);
  const sign = bits >> (width - 1n) ? -1 : 1;
  const largest = BigInt(format.largest);
  if (magnitude > largest) return NaN;
  const hasInfinity = largest === (((1n << (width - 1n)) - 1n) >> mantissaBits) << mantissaBits;
  if (magnitude === largest && hasInfinity) return sign * Infinity;
  const e = Number(magnitude >> mantissaBits);
  const m = Number(magnitude & ((1n << mantissaBits) - 1n)) + (e ? 2 ** format.mantissa_bits : 0);
  const bias = 2 ** (format.exponent_bits - 1) - 1;
  // Two factors: 2^-1074 alone is a number, m * 2^52 of it might pass through a subnormal and round.
  const exponent = Math.max(e, 1) - bias - format.mantissa_bits;
  return exponent < -1000 ? sign * (m * 2 ** -1000) * 2 ** (exponent + 1000) : sign * m * 2 ** exponent;
}

function integerValue(bits, format) {
  const width = BigInt(format.width);
  return format.signed && bits >> (width - 1n) ? bits - (1n << width) : bits;
}

const valueOf = (bits, format) => (isFloat(format) ? floatValue(bits, format) : integerValue(bits, format));

const hexOf = (bits, format) => `0x${bits.toString(16).padStart(widthOf(format) / 4, "0")}`;

function decimalText(value) {
  if (Object.is(value, -0)) return "-0.0";
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e16) return `${value}.0`;
  return String(value);
}

// C's %a: the significand in hex, its exponent in binary.
function hexFloat(value) {
  if (!Number.isFinite(value)) return "";
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const sign = bits >> 63n ? "-" : "";
  const e = Number((bits >> 52n) & 0x7ffn);
  const fraction = (bits & ((1n << 52n) - 1n)).toString(16).padStart(13, "0").replace(/0+$/, "");
  if (value === 0) return `${sign}0x0p+0`;
  const exponent = e ? e - 1023 : -1022;
  return `${sign}0x${e ? 1 : 0}${fraction && "."}${fraction}p${exponent < 0 ? "" : "+"}${exponent}`;
}

// The pattern's fields from the high bit on: sign, exponent and mantissa of a float; nibbles of an integer.
function fieldsOf(format) {
  if (isFloat(format)) {
    return [
      { name: "sign", bits: 1 },
      { name: "exponent", bits: format.exponent_bits },
      { name: "mantissa", bits: format.mantissa_bits },
    ];
  }
  return Array.from({ length: format.width / 4 }, (_, i) => ({ name: `nibble ${format.width / 4 - 1 - i}`, bits: 4 }));
}
