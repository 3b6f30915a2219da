// Tap tempo: what the taps so far say.

const FORGET_S = 2.5;

/** Collects taps; `bpm` is null until there are two. */
export class TapTempo {
  constructor() {
    this.times = [];
  }

  /** A tap at a time in seconds; after a pause the count begins anew. @returns {number|null} bpm */
  tap(timeS) {
    if (this.times.length && timeS - this.times[this.times.length - 1] > FORGET_S) this.times = [];
    this.times.push(timeS);
    if (this.times.length > 12) this.times.shift();
    return this.bpm;
  }

  get bpm() {
    if (this.times.length < 2) return null;
    const gaps = this.times.slice(1).map((time, i) => time - this.times[i]);
    gaps.sort((a, b) => a - b);
    const middle = gaps.length >> 1;
    const median = gaps.length % 2 ? gaps[middle] : (gaps[middle - 1] + gaps[middle]) / 2;
    return 60 / median;
  }
}
