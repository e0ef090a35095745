// Colours: one for more, one for less, told apart by the colour-blind.

const STRONGEST = 78; // Percent, so that text stays readable on it.

/** Returns orange, the stronger the nearer `amount` is to 1. */
export function warm(amount) {
  return mix('--warm', amount);
}

/** Returns orange for positive and blue for negative amounts, up to 1. */
export function twoSided(amount) {
  return amount < 0 ? mix('--cool', -amount) : mix('--warm', amount);
}

function mix(name, amount) {
  const share = Math.round(STRONGEST * Math.min(1, Math.max(0, amount)));
  if (!share) return '';
  return `color-mix(in srgb, var(${name}) ${share}%, transparent)`;
}

/** Returns the red, green and blue of a colour of the style sheet. */
export function channelsOf(name) {
  const style = getComputedStyle(document.documentElement);
  const hex = style.getPropertyValue(name).trim().slice(1);
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
