// Nodes of the document, made of text: nothing is ever parsed as markup.

const SVG = 'http://www.w3.org/2000/svg';
// What is out of sight waits, so that what is in sight comes first.
const LATER_MS = 700;

/** Returns the element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {object} properties Set on it; `data-` and `aria-` as attributes.
 * @param {...(Node|string)} children Strings become text.
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/** Makes an element of a drawing, with attributes. */
export function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Returns a function that calls another at the next frame, once. */
export function onceAFrame(action) {
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      action();
    });
  };
}

/** Work for a part of the page: at once where it is in sight, else later. */
export class Refresher {
  #action;
  #isSeen = false;
  #timer = null;

  /**
   * @param {Element} node
   * @param {function()} action
   */
  constructor(node, action) {
    this.#action = action;
    new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1).isIntersecting;
      if (this.#isSeen && this.#timer !== null) this.now();
    }).observe(node);
  }

  /** Asks for the work to be done. */
  request() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.now(), this.#isSeen ? 0 : LATER_MS);
  }

  /** Does it now. */
  now() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#action();
  }
}

/** Returns a number with commas: 1,080. */
export function grouped(number) {
  return number.toLocaleString('en-US');
}

/** Returns a probability as a percentage of few digits. */
export function percent(probability) {
  const value = 100 * probability;
  if (value > 0 && value < 0.1) return '<0.1%';
  return `${value.toFixed(value < 10 ? 1 : 0)}%`;
}
