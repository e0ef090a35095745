// What `window.tfcharrnn` offers to scripts: the model of the page.

/**
 * Returns the functions; `ready` is a promise that they wait for.
 *
 *     await tfcharrnn.generate({prompt: 'ROMEO: ', length: 200, seed: 7})
 */
export function makeApi(session, ready) {
  const {vocabulary} = session;
  const idsOf = (text) => vocabulary.encode(vocabulary.cut(text));

  /** Log-probabilities in nats; NaN where the vocabulary lacks one. */
  async function logProbs(text) {
    await ready;
    const {nats} = await session.ask('score', {ids: idsOf(text)});
    return Array.from(nats, (value) => -value);
  }

  /** The prompt and what the model writes after it. */
  async function generate(request = {}) {
    await ready;
    const {prompt = '', length = 200, temperature = 1, seed = 0} = request;
    const {topK = null, topP = null, stop = null} = request;
    const ids = knownIds('prompt', prompt);
    const end = stop ?? (vocabulary.end === null ? null : '\n');
    const written = [];
    const question = {
      prompt: vocabulary.lines ? [vocabulary.begin, ...ids] : ids,
      written: [],
      length,
      temperature,
      topK,
      topP,
      seed,
      stop: end ? knownIds('stop', end) : null,
    };
    const onPart = (part) => written.push(...part);
    await session.ask('write', question, {onPart});
    return prompt + vocabulary.decode(written);
  }

  /** What the cells of a layer compute, after each character. */
  async function states(text, layer = 0) {
    await ready;
    return session.ask('states', {ids: knownIds('text', text), layer});
  }

  function knownIds(name, text) {
    const pieces = vocabulary.cut(text);
    const ids = Array.from(vocabulary.encode(pieces));
    const lacking = pieces.filter((_, i) => ids[i] < 0);
    if (!lacking.length) return ids;
    const list = JSON.stringify([...new Set(lacking)].join(''));
    throw new Error(`\`${name}\` has ${list}, which the vocabulary lacks.`);
  }

  const config = {...session.config, ...session.payload.vocabulary};
  return {ready, config, logProbs, generate, states};
}
