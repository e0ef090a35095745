// Projection: vectors onto the plane in which they differ most (PCA).

const ITERATIONS = 100;

/**
 * Projects vectors onto their first two principal components.
 *
 * @param {Float32Array[]} vectors All of one length.
 * @returns {{points: number[][], share: number}} [x, y] of each vector, and
 *   the share of the variance that the plane keeps.
 */
export function project(vectors) {
  const centred = centre(vectors);
  let total = 0;
  for (const vector of centred) total += dot(vector, vector);
  const axes = [];
  for (let i = 0; i < 2; i++) axes.push(principal(centred, axes));
  const points = centred.map((vector) => axes.map((axis) => dot(vector, axis)));
  let kept = 0;
  for (const [x, y] of points) kept += x * x + y * y;
  return {points, share: total ? kept / total : 0};
}

/** Returns vectors of length 1, of which `dot` is the cosine. */
export function normalized(vectors) {
  return vectors.map((vector) => {
    const size = Math.sqrt(dot(vector, vector)) || 1;
    return vector.map((x) => x / size);
  });
}

/** Returns, for each normalized vector, those that are most like it. */
export function neighboursOf(vectors, count) {
  return vectors.map((vector, i) => {
    const likeness = vectors.map((other, j) => ({
      index: j,
      cosine: dot(vector, other),
    }));
    likeness.splice(i, 1);
    likeness.sort((a, b) => b.cosine - a.cosine);
    return likeness.slice(0, count);
  });
}

function centre(vectors) {
  const mean = new Float64Array(vectors[0].length);
  for (const vector of vectors) {
    for (let i = 0; i < mean.length; i++) mean[i] += vector[i] / vectors.length;
  }
  return vectors.map((vector) =>
    Float64Array.from(vector, (x, i) => x - mean[i]),
  );
}

/** Returns the direction of most variance that is at right angles to others. */
function principal(vectors, others) {
  let axis = Float64Array.from(vectors[0], (_, i) => Math.sin(i + 1));
  for (let n = 0; n < ITERATIONS; n++) {
    const next = new Float64Array(axis.length);
    for (const vector of vectors) {
      const size = dot(vector, axis);
      for (let i = 0; i < next.length; i++) next[i] += size * vector[i];
    }
    for (const other of others) {
      const size = dot(next, other);
      for (let i = 0; i < next.length; i++) next[i] -= size * other[i];
    }
    const length = Math.sqrt(dot(next, next)) || 1;
    axis = next.map((x) => x / length);
  }
  return axis;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
