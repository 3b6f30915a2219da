// The stem waiting to be played: samples at their index on the session's sample clock.

const FADE_SAMPLES = 128; // where sound begins or breaks off: long enough not to click

/**
 * A jitter buffer that is addressed, not queued: a sample is written at its index and read at its index. What isn't there
 * when it is due is a gap: the sound fades out and, when there is some again, in. Late samples are never played.
 */
export class StemRing {
  constructor(capacity) {
    this.capacity = capacity;
    this.samples = new Float32Array(capacity);
    this.filled = new Uint8Array(capacity);
    this.gain = 0;
    this.last = 0;
    this.newest = 0; // index after the newest sample that was written
    this.numLate = 0;
  }

  /** Store samples that begin at `index`; those before `readAt`, and beyond the ring, are dropped. Returns how many were late. */
  write(index, samples, readAt) {
    const late = Math.min(samples.length, Math.max(0, readAt - index));
    const stop = Math.min(samples.length, readAt + this.capacity - index);
    for (let i = late; i < stop; i += 1) {
      const slot = (index + i) % this.capacity;
      this.samples[slot] = samples[i];
      this.filled[slot] = 1;
    }
    this.newest = Math.max(this.newest, index + Math.max(0, stop));
    this.numLate += late;
    return late;
  }

  /** Read `out.length` samples from `index` on, and forget them. Returns how many weren't there. */
  read(index, out) {
    let missing = 0;
    const step = 1 / FADE_SAMPLES;
    for (let i = 0; i < out.length; i += 1) {
      const slot = (index + i) % this.capacity;
      const isThere = index + i >= 0 && this.filled[slot] === 1;
      if (isThere) {
        this.last = this.samples[slot];
        this.filled[slot] = 0;
        this.gain = Math.min(1, this.gain + step);
      } else {
        missing += 1;
        this.gain = Math.max(0, this.gain - step);
      }
      out[i] = this.last * this.gain;
    }
    return missing;
  }

  /** How many samples from `index` on are there without a gap, up to `most`. */
  ahead(index, most) {
    let count = 0;
    while (count < most && this.filled[(index + count) % this.capacity] === 1) count += 1;
    return count;
  }
}
