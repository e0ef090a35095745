// The section "Neurons": a text coloured by one unit, and which unit to take.

import {twoSided} from './colours.js';
import {byId, element, Refresher} from './dom.js';
import {CELLS} from './cells.js';
import {Lens} from './lens.js';
import {KINDS} from './marks.js';
import {Strip} from './strip.js';
import {swatch} from './surprise.js';
import {visible} from './vocabulary.js';

const NEURONS_LIMIT = 3000;
const GATES = ['update', 'reset', 'input', 'forget', 'output'];
const BOUNDED = ['state', 'candidate'];

/** Units of the network, beside the text that they follow. */
export class Neurons {
  #session;
  #lens;
  #strip;
  #marked = [];
  #answer = null;
  #later;

  constructor(session) {
    this.#session = session;
    const {config, vocabulary} = session;
    this.#lens = new Lens(byId('neuron-lens'), {
      id: 'neuron-text',
      label: 'Text to be coloured by a unit',
      vocabulary,
      limit: NEURONS_LIMIT,
    });
    this.#strip = new Strip(byId('strip'), config.units, (unit) =>
      this.choose({unit}),
    );
    this.#later = new Refresher(byId('neuron-lens'), () => this.#show());
    byId('unit').max = config.units - 1;
    byId('layer').max = config.layers;
    byId('layer-field').hidden = config.layers < 2;
    byId('value').append(...options(CELLS[config.cell].names));
    byId('mark').append(...options(['your selection', ...Object.keys(KINDS)]));
    this.#listen();
  }

  set text(text) {
    this.#lens.text = text;
  }

  /** Follows another unit. */
  choose({unit, layer = this.#layer, value = null}) {
    byId('unit').value = unit;
    byId('layer').value = layer + 1;
    if (value) byId('value').value = value;
    this.#later.request();
  }

  /** Reads the text and colours it by the chosen unit. */
  async #show() {
    this.#answer = await this.#session.ask('units', this.#question(), {
      channel: 'units',
    });
    this.#draw();
  }

  #listen() {
    this.#lens.onText = () => {
      this.#remark();
      this.#later.request();
    };
    this.#lens.onCaret = () => this.#later.request();
    for (const id of ['unit', 'layer', 'value']) {
      byId(id).addEventListener('input', () => this.#later.request());
    }
    byId('mark').addEventListener('change', () => this.#remark());
    byId('find').addEventListener('click', () => this.#find());
    this.#session.onChoice(() => this.#later.request());
    this.#listKnown();
  }

  get #layer() {
    return clamp(byId('layer').valueAsNumber - 1, this.#session.config.layers);
  }

  get #unit() {
    return clamp(byId('unit').valueAsNumber, this.#session.config.units);
  }

  #question() {
    return {
      ids: this.#lens.ids,
      name: byId('value').value,
      layer: this.#layer,
      unit: this.#unit,
      position: this.#lens.caret,
    };
  }

  #draw() {
    const {unitValues, stripValues} = this.#answer;
    const name = byId('value').value;
    const scale = scaleOf(name, this.#session.config.cell, [
      unitValues,
      stripValues,
    ]);
    this.#lens.paint((i) => twoSided(scale(unitValues[i] ?? 0)));
    this.#strip.show(stripValues, this.#unit, scale);
    this.#showLegend(name, scale);
    const at = this.#lens.caret;
    const piece = this.#lens.pieces[at];
    const where = piece === undefined ? '' : ` at “${visible(piece)}”`;
    const value = unitValues[at];
    const own = value === undefined ? '' : `: ${value.toFixed(2)}${where}`;
    const label = `Unit ${this.#unit}, ${name}${own}.`;
    byId('neuron-info').textContent = `${label} ${this.#lens.lackNote}`;
    byId('strip').setAttribute(
      'aria-label',
      `${stripValues.length} units; ${label}`,
    );
  }

  #showLegend(name, scale) {
    const isGate = GATES.includes(name);
    const items = isGate
      ? [
          ['0 closed', 0],
          ['0.5', 0.5],
          ['1 open', 1],
        ]
      : [-1, -0.5, 0, 0.5, 1].map((share) => {
          const value = share / (scale(1) || 1);
          return [value.toFixed(1), value];
        });
    byId('neurons-legend').replaceChildren(
      ...items.map(([label, value]) => swatch(label, twoSided(scale(value)))),
    );
  }

  /** Marks the characters of the chosen kind. */
  #remark() {
    const kind = KINDS[byId('mark').value];
    const {pieces} = this.#lens;
    this.#marked = kind ? kind(pieces) : [];
    this.#lens.mark('marked', (i) => Boolean(this.#marked[i]));
  }

  async #find() {
    const {ids} = this.#lens;
    const [start, end] = this.#lens.selection;
    const note = byId('found-note');
    const selected = Uint8Array.from(ids, (_, i) =>
      Number(this.#marked[i] || (i >= start && i < end)),
    );
    const count = selected.reduce((sum, x) => sum + x, 0);
    const {noun} = this.#session;
    byId('found').replaceChildren();
    if (!count || count === ids.length) {
      note.textContent =
        `Select some ${noun}s of the text first, but not all of them; or ` +
        'choose what to mark.';
      return;
    }
    note.textContent = 'Looking …';
    const ask = (chosen) =>
      this.#session.ask(
        'units',
        {...this.#question(), selected: chosen},
        {channel: 'find'},
      );
    const {found} = await ask(selected);
    const control = await ask(rotate(selected));
    const chance = sureness(control.found[0].auc).toFixed(2);
    note.textContent =
      `Units that best tell ${count} ${noun}s from ${ids.length - count} ` +
      `others, by AUC. The same pattern elsewhere in the text: ${chance}.`;
    byId('found').append(...found.map((unit) => this.#foundRow(unit)));
    this.choose(found[0]);
  }

  #foundRow({layer, unit, auc}) {
    const where = this.#session.config.layers > 1 ? `layer ${layer + 1}, ` : '';
    const direction = auc < 0.5 ? 'low' : 'high';
    const button = element(
      'button',
      {type: 'button'},
      element('span', {className: 'found-unit'}, `${where}unit ${unit}`),
      element('span', {className: 'found-auc'}, sureness(auc).toFixed(3)),
      element('span', {className: 'hint'}, direction),
    );
    button.dataset.unit = unit;
    button.dataset.layer = layer;
    button.addEventListener('click', () => this.choose({layer, unit}));
    return element('li', {}, button);
  }

  /** Lists the units that were found when the page was made. */
  #listKnown() {
    const {units} = this.#session.payload;
    byId('known').hidden = !units.length;
    const {layers} = this.#session.config;
    for (const known of units) {
      const {feature, layer, unit} = known;
      const name = layers > 1 ? `${layer + 1}/${unit}` : String(unit);
      const button = element('button', {type: 'button'}, name);
      button.setAttribute('aria-label', `Follow unit ${name}, ${feature}`);
      button.addEventListener('click', () =>
        this.choose({layer, unit, value: 'state'}),
      );
      const score = (x) => (Number.isFinite(x) ? x.toFixed(2) : '–');
      const chance = `${score(known.control)}, ${score(known.controlAuc)}`;
      byId('known-rows').append(
        element(
          'tr',
          {},
          element('th', {scope: 'row'}, feature),
          element('td', {}, button),
          element('td', {}, score(known.correlation)),
          element('td', {}, score(known.auc)),
          element('td', {className: 'hint'}, chance),
        ),
      );
    }
  }
}

/** Returns a function from values to -1 ... 1. */
function scaleOf(name, cell, arrays) {
  if (GATES.includes(name)) return (value) => 2 * value - 1;
  if (BOUNDED.includes(name) && cell !== 'mingru') return (value) => value;
  let largest = 0;
  for (const values of arrays) {
    for (const value of values) largest = Math.max(largest, Math.abs(value));
  }
  return (value) => (largest ? value / largest : 0);
}

/** Returns how far from chance an AUC is, whatever the direction. */
function sureness(auc) {
  return Math.max(auc, 1 - auc);
}

/** Returns the same pattern of a selection, elsewhere: a control. */
function rotate(selected) {
  const shift = Math.floor(selected.length * 0.382) + 1;
  return selected.map((_, i) => selected[(i + shift) % selected.length]);
}

function clamp(value, size) {
  return Number.isFinite(value)
    ? Math.min(size - 1, Math.max(0, Math.floor(value)))
    : 0;
}

function options(names) {
  return names.map((name) => element('option', {value: name}, name));
}
