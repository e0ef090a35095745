// The section of characters: a map of what the model treats alike.

import {byId, percent, Refresher, shape} from './dom.js';
import {visible} from './vocabulary.js';

// Tokens on the map, at most.
const NUM_CHARS = 250;
const NUM_WORDS = 100;
const PAD = 26;

/** The map of the tokens. */
export class Letters {
  #session;
  #map = byId('letters');
  #labels = [];
  #lines = shape('g', {class: 'links'});
  #points = [];
  #neighbours = [];
  #chosen = -1;
  #places = [];
  #count;

  constructor(session) {
    this.#session = session;
    this.#map.append(this.#lines);
    const {tokens, isWords} = session.vocabulary;
    this.#count = isWords ? NUM_WORDS : NUM_CHARS;
    this.#labels = tokens.slice(0, this.#count).map((token) => {
      const label = shape('text', {'text-anchor': 'middle'}, visible(token));
      if (/^\p{Lu}/u.test(token.trim())) label.classList.add('upper');
      else if (!/^\p{L}/u.test(token.trim())) label.classList.add('mark');
      this.#map.append(label);
      return label;
    });
    this.#listen();
  }

  #listen() {
    this.#map.addEventListener('pointermove', (event) => {
      const index = this.#nearest(event);
      if (index !== this.#chosen) this.#choose(index);
    });
    this.#map.addEventListener('click', (event) =>
      this.#choose(this.#nearest(event)),
    );
    this.#map.addEventListener('keydown', (event) => this.#press(event));
    const later = new Refresher(this.#map, () => this.#show());
    later.request();
    this.#session.onChoice(() => later.request());
    new ResizeObserver(() => this.#arrange()).observe(this.#map);
  }

  /** Places the tokens as the current checkpoint has them. */
  async #show() {
    const {noun} = this.#session;
    const answer = await this.#session.ask(
      'letters',
      {count: this.#count},
      {channel: 'letters'},
    );
    this.#places = answer.points;
    this.#neighbours = answer.neighbours;
    this.#arrange();
    const {size} = this.#session.vocabulary;
    const count = this.#count;
    const first =
      size > count ? ` The first ${count} of ${size} ${noun}s.` : '';
    byId('letters-note').textContent =
      `The plane keeps ${percent(answer.share)} of their differences ` +
      `(principal components).${first}`;
  }

  /** Puts the labels where the width of the map allows. */
  #arrange() {
    const {clientWidth: width, clientHeight: height} = this.#map;
    if (!this.#places.length || !width) return;
    this.#points = fit(this.#places, {width, height, before: this.#points});
    this.#labels.forEach((label, i) => {
      const [x, y] = this.#points[i];
      label.style.transform = `translate(${x}px, ${y}px)`;
    });
    if (this.#chosen >= 0) this.#choose(this.#chosen);
  }

  #choose(index) {
    this.#chosen = index;
    const near = this.#neighbours[index];
    if (!near) return;
    const ids = near.map((neighbour) => neighbour.index);
    this.#labels.forEach((label, i) => {
      label.classList.toggle('chosen', i === index);
      label.classList.toggle('near', ids.includes(i));
    });
    const [x1, y1] = this.#points[index];
    this.#lines.replaceChildren(
      ...ids.map((i) => {
        const [x2, y2] = this.#points[i];
        return shape('line', {x1, y1, x2, y2});
      }),
    );
    const {tokens} = this.#session.vocabulary;
    const names = near.map(
      (n) => `“${visible(tokens[n.index])}” ${n.cosine.toFixed(2)}`,
    );
    byId('letters-info').textContent =
      `Most like “${visible(tokens[index])}”, by cosine: ${names.join(', ')}.`;
  }

  #nearest({clientX, clientY}) {
    const {left, top} = this.#map.getBoundingClientRect();
    return nearestOf(this.#points, [clientX - left, clientY - top], () => true);
  }

  #press(event) {
    const directions = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const direction = directions[event.key];
    if (!direction || !this.#points.length) return;
    event.preventDefault();
    const here = this.#points[Math.max(0, this.#chosen)];
    const isAhead = (point) => {
      const [dx, dy] = [point[0] - here[0], point[1] - here[1]];
      const along = dx * direction[0] + dy * direction[1];
      const across = Math.abs(dx * direction[1] + dy * direction[0]);
      return along > 0.5 && across <= 1.5 * along;
    };
    const index = nearestOf(this.#points, here, isAhead);
    this.#choose(index >= 0 ? index : Math.max(0, this.#chosen));
  }
}

function nearestOf(points, [x, y], isAllowed) {
  let best = -1;
  let least = Infinity;
  points.forEach((point, i) => {
    const distance = (point[0] - x) ** 2 + (point[1] - y) ** 2;
    if (distance < least && isAllowed(point)) {
      least = distance;
      best = i;
    }
  });
  return best;
}

/** Scales points to a size; mirrored, if that is nearer to those before. */
function fit(points, {width, height, before}) {
  const columns = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const size = (axis ? height : width) - 2 * PAD;
    const scaled = values.map(
      (v) => PAD + (size * (v - low)) / (high - low || 1),
    );
    if (!before.length) return scaled;
    const mirrored = scaled.map((v) => 2 * PAD + size - v);
    const far = (all) =>
      all.reduce((sum, v, i) => sum + (v - before[i][axis]) ** 2, 0);
    return far(mirrored) < far(scaled) ? mirrored : scaled;
  });
  return points.map((_, i) => [columns[0][i], columns[1][i]]);
}
