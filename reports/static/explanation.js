// The fewest axes whose values, as they occur among the differing cells, hold no equal cell, or the fewest of them.
// reports/explanation.py states the same rule for the table of signatures; a suite holds the two together.

const MAX_AXES = 4;
const MAX_VALUES = 4;
const DRAW = "case";

function explain(axes, differing, equal) {
  const values = [];
  const masks = new Int32Array(equal.length);
  axes.forEach((axis, bit) => {
    const occurs = new Uint8Array(axis.words.length);
    for (const cell of differing) occurs[axis.codes[cell]] = 1;
    values.push([...occurs.keys()].filter((code) => occurs[code]));
    for (let i = 0; i < equal.length; i++) if (!occurs[axis.codes[equal[i]]]) masks[i] |= 1 << bit;
  });
  const sets = new Map();
  for (const mask of masks) sets.set(mask, (sets.get(mask) || 0) + 1);
  const usable = axes.map((_, bit) => bit).filter((bit) => axes[bit].name !== DRAW && values[bit].length <= MAX_VALUES);
  const able = usable.filter((bit) => [...sets.keys()].some((mask) => (mask >> bit) & 1));
  const others = (choice) => {
    const chosen = choice.reduce((mask, bit) => mask | (1 << bit), 0);
    let left = 0;
    for (const [mask, n] of sets) if (!(mask & chosen)) left += n;
    return left;
  };
  const least = others(able);
  let best = [];
  for (let size = 1; size <= Math.min(MAX_AXES, able.length) && others(best) !== least; size++) {
    let found = null;
    let rank = [Infinity, Infinity];
    for (const choice of choices(able, size)) {
      const left = others(choice);
      const nValues = choice.reduce((sum, bit) => sum + values[bit].length, 0);
      if (left < rank[0] || (left === rank[0] && nValues < rank[1])) [found, rank] = [choice, [left, nValues]];
    }
    if (2 * rank[0] <= others(best)) best = found;
  }
  const where = best.map((bit) => [axes[bit].name, values[bit].map((code) => axes[bit].words[code])]);
  return { where, inside: differing.length, others: others(best) };
}

// All choices of that size, in the order of their members.
function* choices(from, size, start = 0) {
  if (size === 0) yield [];
  else {
    for (let i = start; i <= from.length - size; i++) {
      for (const rest of choices(from, size - 1, i + 1)) yield [from[i], ...rest];
    }
  }
}

// The words of an explanation, as reports/explanation.py has them.
function explanationText({ where, others }) {
  if (!where.length) return others ? "no axis value tells them from equal pairs" : "every pair compared differs";
  const told = where.map(([axis, values]) => `${axis}:${values.join(",")}`).join(" and ");
  return others ? `${told} (so have ${counted(others, "equal pair")})` : told;
}
