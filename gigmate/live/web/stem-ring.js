// The stem waiting to be played: samples at their index on the session's sample clock.

const FADE_SAMPLES = 128; // where sound begins or breaks off: long enough not to click
const NOTHING = -1;

/**
 * A jitter buffer that is addressed, not queued: a sample is written at its index and read at its index. What isn't there
 * when it is due is a gap: the sound fades out and, when there is some again, in. Late samples are never played.
 */
export class StemRing {
  /** `origin`: the first index that will be asked for; what lies before it can't be late. */
  constructor(capacity, origin = 0) {
    this.capacity = capacity;
    this.origin = origin;
    this.samples = new Float32Array(capacity);
    // by index, not by a flag: what a jump of the reader left behind must not sound when the ring comes round
    this.indices = new Float64Array(capacity).fill(NOTHING);
    this.gain = 0;
    this.last = 0;
    this.newest = 0; // index after the newest sample that was written
    this.numLate = 0;
  }

  /** Store samples from `index` on; those before `readAt`, and beyond the ring, are dropped. Returns how many were late. */
  write(index, samples, readAt) {
    const past = Math.min(samples.length, Math.max(0, readAt - index));
    const stop = Math.min(samples.length, readAt + this.capacity - index);
    for (let i = past; i < stop; i += 1) {
      const slot = (index + i) % this.capacity;
      this.samples[slot] = samples[i];
      this.indices[slot] = index + i;
    }
    this.newest = Math.max(this.newest, index + Math.max(0, stop));
    const late = Math.max(0, past - Math.max(0, this.origin - index));
    this.numLate += late;
    return late;
  }

  /** Read `out.length` samples from `index` on. Returns how many weren't there. */
  read(index, out) {
    let missing = 0;
    const step = 1 / FADE_SAMPLES;
    for (let i = 0; i < out.length; i += 1) {
      const slot = (index + i) % this.capacity;
      if (this.indices[slot] === index + i) {
        this.last = this.samples[slot];
        this.gain = Math.min(1, this.gain + step);
      } else {
        missing += 1;
        this.gain = Math.max(0, this.gain - step);
      }
      out[i] = this.last * this.gain;
    }
    return missing;
  }
}
