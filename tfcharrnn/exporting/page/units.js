// Units: how well a unit tells some characters from the rest.

/**
 * Returns the area under the ROC curve of values, for selected positions.
 *
 * It is the probability that the unit is higher at a selected character than
 * at another one: 0.5 by chance, 1 always, 0 never. Ties count a half.
 *
 * @param {Float32Array} values One for each character.
 * @param {Uint8Array} selected 1 where a character is selected.
 */
export function auc(values, selected) {
  const order = Uint32Array.from(values.keys());
  order.sort((a, b) => values[a] - values[b]);
  let sum = 0;
  let count = 0;
  for (let i = 0; i < order.length;) {
    let end = i + 1;
    while (end < order.length && values[order[end]] === values[order[i]]) {
      end += 1;
    }
    // Equal values share the mean of their ranks, which begin at 1.
    const rank = (i + 1 + end) / 2;
    for (; i < end; i++) {
      if (selected[order[i]]) {
        sum += rank;
        count += 1;
      }
    }
  }
  const others = order.length - count;
  if (!count || !others) return 0.5;
  return (sum - (count * (count + 1)) / 2) / (count * others);
}

/**
 * Ranks units by their distance from chance.
 *
 * @param {Float32Array[]} layers For each layer, [T * U].
 * @param {Uint8Array} selected [T]
 * @param {{units: number, count: number}} options
 * @returns {Array<{layer, unit, auc}>}
 */
export function rankUnits(layers, selected, {units, count}) {
  const found = [];
  const steps = selected.length;
  layers.forEach((values, layer) => {
    const column = new Float32Array(steps);
    for (let unit = 0; unit < units; unit++) {
      for (let t = 0; t < steps; t++) column[t] = values[t * units + unit];
      found.push({layer, unit, auc: auc(column, selected)});
    }
  });
  found.sort((a, b) => Math.abs(b.auc - 0.5) - Math.abs(a.auc - 0.5));
  return found.slice(0, count);
}
