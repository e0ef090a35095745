// The band at the top: a slider over checkpoints, with the loss as its track.

import {byId, grouped, shape} from './dom.js';

const BAND_HEIGHT = 46;
const BAND_PAD = 8;

/** The slider over checkpoints. */
export class Band {
  #session;
  #curve = byId('curve');
  #input = byId('checkpoint');

  constructor(session) {
    this.#session = session;
    const {checkpoints, payload} = session;
    byId('band').hidden = checkpoints.length < 2 && payload.curve.length < 2;
    this.#input.max = checkpoints.length - 1;
    this.#input.value = session.checkpoint;
    this.#input.disabled = checkpoints.length < 2;
    this.#input.addEventListener('input', () => {
      session.choose(Number(this.#input.value));
      this.#draw();
    });
    const drag = (event) => {
      if (event.buttons) this.#take(event);
    };
    this.#curve.addEventListener('pointerdown', (event) => {
      this.#curve.setPointerCapture(event.pointerId);
      this.#input.focus();
      event.preventDefault();
      this.#take(event);
    });
    this.#curve.addEventListener('pointermove', drag);
    new ResizeObserver(() => this.#draw()).observe(this.#curve);
    this.#draw();
  }

  /** Chooses the checkpoint that is nearest to the pointer. */
  #take(event) {
    const {left} = this.#curve.getBoundingClientRect();
    const {x} = this.#scales();
    const {checkpoints} = this.#session;
    const distances = checkpoints.map(({step}) =>
      Math.abs(x(step ?? 0) - (event.clientX - left)),
    );
    this.#input.value = distances.indexOf(Math.min(...distances));
    this.#input.dispatchEvent(new Event('input'));
  }

  #scales() {
    const width = this.#curve.clientWidth || 300;
    const {curve} = this.#session.payload;
    const {checkpoints} = this.#session;
    const steps = [...curve, ...checkpoints].map(({step}) => step ?? 0);
    const losses = [
      ...curve.flatMap(({loss, valid}) => [loss, valid]),
      ...checkpoints.map(({loss}) => loss),
    ].filter(Number.isFinite);
    const [from, to] = rangeOf(steps);
    const [low, high] = rangeOf(losses.length ? losses : [0]);
    return {
      width,
      x: (step) =>
        BAND_PAD + ((width - 2 * BAND_PAD) * (step - from)) / (to - from),
      y: (loss) =>
        BAND_PAD +
        (BAND_HEIGHT - 2 * BAND_PAD) * (1 - (loss - low) / (high - low)),
    };
  }

  #draw() {
    const {width, x, y} = this.#scales();
    const {checkpoints, checkpoint, payload} = this.#session;
    const line = (name) => {
      const points = payload.curve
        .filter((point) => Number.isFinite(point[name]))
        .map((point) => `${x(point.step)},${y(point[name])}`);
      return shape('polyline', {
        class: `loss ${name}`,
        points: points.join(' '),
      });
    };
    const dots = checkpoints.map(({step, loss, best}, i) => {
      const isChosen = i === checkpoint;
      const kind = `dot${isChosen ? ' chosen' : ''}${best ? ' best' : ''}`;
      const top = Number.isFinite(loss) ? y(loss) : BAND_HEIGHT / 2;
      const at = {cx: x(step ?? 0), cy: top, r: isChosen ? 7 : 4.5};
      return shape('circle', {class: kind, ...at});
    });
    const base = {
      x1: BAND_PAD,
      x2: width - BAND_PAD,
      y1: BAND_HEIGHT - 3,
      y2: BAND_HEIGHT - 3,
    };
    this.#curve.setAttribute('viewBox', `0 0 ${width} ${BAND_HEIGHT}`);
    this.#curve.replaceChildren(
      shape('line', {class: 'base', ...base}),
      line('loss'),
      line('valid'),
      ...dots,
    );
    byId('step').textContent = labelOf(checkpoints[checkpoint]);
    this.#input.setAttribute(
      'aria-valuetext',
      `Step ${labelOf(checkpoints[checkpoint])}`,
    );
  }
}

/** Returns what a checkpoint is called: its step, its loss, whether best. */
export function labelOf({step, label, loss, best}) {
  const name = label || (Number.isFinite(step) ? grouped(step) : 'last');
  const nats = Number.isFinite(loss)
    ? ` · ${(loss / Math.LN2).toFixed(2)} bits`
    : '';
  return `${name}${nats}${best ? ' · best' : ''}`;
}

function rangeOf(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return high > low ? [low, high] : [low - 1, high + 1];
}
