// Draft: a text that the model has written, and the other ways it went.
//
//   first text      The king is dead, and ...
//     at 'd'->'m'     The king is mad ...
//       ...
//
// Each version is a beginning, what was written after it, and the version that
// it branched off from. Going back loses nothing.

/** The versions of a text. */
export class Draft {
  constructor() {
    this.versions = [];
    this.current = null;
  }

  /**
   * Begins anew; forgets the versions before.
   *
   * @param {string[]} pieces Of the beginning.
   * @param {ArrayLike<number>} ids Of the pieces; -1 for what is unknown.
   */
  begin(pieces, ids) {
    this.versions = [];
    const prompt = Array.from(ids);
    return this.#add({parent: null, pieces, prompt, written: [], at: null});
  }

  /**
   * Puts another id at a position (which counts the beginning).
   *
   * @returns {object} The new version, which is the current one.
   */
  branch(position, id, piece) {
    const {prompt, pieces} = this.current;
    const all = this.ids;
    const kept = [...all.slice(0, position), id];
    const isWritten = position >= prompt.length;
    return this.#add({
      parent: this.current,
      pieces: isWritten ? pieces : [...pieces.slice(0, position), piece],
      prompt: isWritten ? prompt : kept,
      written: isWritten ? kept.slice(prompt.length) : [],
      at: position,
      instead: all[position] ?? null,
    });
  }

  /** Makes a version the current one. */
  choose(version) {
    this.current = version;
  }

  /** All ids of the current version. */
  get ids() {
    if (!this.current) return [];
    return [...this.current.prompt, ...this.current.written];
  }

  /** How many steps a version is away from the first one. */
  depthOf(version) {
    return version.parent ? 1 + this.depthOf(version.parent) : 0;
  }

  /** The versions in the order of the tree: each before its branches. */
  get inOrder() {
    const ordered = [];
    const visit = (version) => {
      ordered.push(version);
      this.versions.filter((v) => v.parent === version).forEach(visit);
    };
    this.versions.filter((v) => !v.parent).forEach(visit);
    return ordered;
  }

  #add(version) {
    this.versions.push(version);
    this.current = version;
    return version;
  }
}
