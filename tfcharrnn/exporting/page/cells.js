// Cells: one step of each recurrent cell, as `nn/cells.py` states it.
//
// A step reads `x`, the products with the inputs, and `h`, those with the
// state, biases included, and moves the state in place. The first `units`
// numbers of a state are the outputs. Where `values` is given, a row of `units`
// numbers for each of the cell's `names` is written into it.

/** What a page knows about each cell, by its name in the config. */
export const CELLS = {
  gru: {
    names: ['state', 'update', 'reset', 'candidate'],
    numStates: 1,
    step: stepGru,
  },
  lstm: {
    names: ['state', 'cell', 'input', 'forget', 'output', 'candidate'],
    numStates: 2,
    step: stepLstm,
  },
  mingru: {
    names: ['state', 'update', 'candidate'],
    numStates: 1,
    step: stepMinGru,
  },
  vanilla: {names: ['state'], numStates: 1, step: stepVanilla},
};

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

function tanh(x) {
  return 1 - 2 / (1 + Math.exp(2 * x)); // Math.tanh takes three times as long.
}

function stepGru(x, h, state, units, values) {
  for (let u = 0; u < units; u++) {
    const update = sigmoid(x[u] + h[u]);
    const reset = sigmoid(x[units + u] + h[units + u]);
    const candidate = tanh(x[2 * units + u] + reset * h[2 * units + u]);
    state[u] = update * state[u] + (1 - update) * candidate;
    if (values) {
      values[u] = state[u];
      values[units + u] = update;
      values[2 * units + u] = reset;
      values[3 * units + u] = candidate;
    }
  }
}

function stepLstm(x, h, state, units, values) {
  for (let u = 0; u < units; u++) {
    const input = sigmoid(x[u] + h[u]);
    const forget = sigmoid(x[units + u] + h[units + u]);
    const candidate = tanh(x[2 * units + u] + h[2 * units + u]);
    const output = sigmoid(x[3 * units + u] + h[3 * units + u]);
    const cell = forget * state[units + u] + input * candidate;
    state[units + u] = cell;
    state[u] = output * tanh(cell);
    if (values) {
      values[u] = state[u];
      values[units + u] = cell;
      values[2 * units + u] = input;
      values[3 * units + u] = forget;
      values[4 * units + u] = output;
      values[5 * units + u] = candidate;
    }
  }
}

function stepMinGru(x, h, state, units, values) {
  for (let u = 0; u < units; u++) {
    const update = sigmoid(x[u]);
    const candidate = x[units + u];
    state[u] = (1 - update) * state[u] + update * candidate;
    if (values) {
      values[u] = state[u];
      values[units + u] = update;
      values[2 * units + u] = candidate;
    }
  }
}

function stepVanilla(x, h, state, units, values) {
  for (let u = 0; u < units; u++) {
    state[u] = tanh(x[u] + h[u]);
    if (values) values[u] = state[u];
  }
}
