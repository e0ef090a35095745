// Jobs: long work in slices, so that others get their turn.

const SLICE_MS = 12;

/** What a job throws when it has been cancelled. */
export class Cancelled extends Error {}

/** A piece of work that may be cancelled between two slices. */
export class Job {
  constructor() {
    this.isCancelled = false;
    this.until = 0;
    this.start();
  }

  /** Begins a slice. */
  start() {
    this.until = performance.now() + SLICE_MS;
  }

  /** Whether the slice is over, and `pause` should be awaited. */
  get isDue() {
    return performance.now() > this.until;
  }

  /** Lets others work; throws if the job was cancelled meanwhile. */
  async pause() {
    await nextTask();
    if (this.isCancelled) throw new Cancelled();
    this.start();
  }
}

const waiting = [];
const channel = new MessageChannel();
channel.port1.onmessage = () => waiting.shift()();

function nextTask() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
