// Capture and playback in one processor: both are counted by the same blocks, so mix and stem can't drift apart.

import { StemRing } from "../stem-ring.js";

const RING_S = 8;

/**
 * Input 0: the mix. Output 0: the stem. The session's sample clock is the number of samples captured since `start`.
 * The stem sample that is put out with captured sample n is n + delay: by the time that it has gone through the
 * loudspeaker and the next mix sample through the microphone, they belong together.
 *
 * To it: { type: "start", delay, startS }, { type: "delay", delay } and { type: "stem", index, samples }. From it:
 * { type: "block" } every 20 ms, with what came in, what was put out and how that goes, and { type: "late" }.
 */
class SessionProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.startS = Infinity;
    this.blockSamples = Math.round(sampleRate * 0.02);
    this.reset();
    this.port.onmessage = ({ data }) => this.take(data);
  }

  reset(delay = 0) {
    this.ring = new StemRing(Math.ceil(RING_S * sampleRate), delay);
    this.delay = delay;
    this.count = 0;
    this.numDue = 0;
    this.numMissing = 0;
    this.numUnderruns = 0;
    this.isInGap = true;
    this.hasPlayed = false;
    this.newBlock();
  }

  newBlock() {
    this.mix = new Float32Array(this.blockSamples);
    this.out = new Float32Array(this.blockSamples);
    this.at = 0;
  }

  take(message) {
    if (message.type === "start") {
      this.reset(message.delay);
      this.startS = message.startS ?? 0;
    } else if (message.type === "delay") {
      this.delay = message.delay;
    } else if (message.type === "stem") {
      const late = this.ring.write(message.index, message.samples, this.count + this.delay);
      const index = Math.max(message.index, this.ring.origin);
      if (late > 0) this.port.postMessage({ type: "late", samples: late, index });
    }
  }

  process(inputs, outputs) {
    const stem = outputs[0][0];
    if (currentTime < this.startS || stem === undefined) return true;
    const channels = inputs[0];
    const missing = this.ring.read(this.count + this.delay, stem);
    this.watch(missing, stem.length);
    for (let i = 0; i < stem.length; i += 1) {
      let sample = 0;
      for (const channel of channels) sample += channel[i] / channels.length;
      this.mix[this.at] = sample;
      this.out[this.at] = stem[i];
      this.at += 1;
      this.count += 1;
      if (this.at === this.blockSamples) this.flush();
    }
    for (let c = 1; c < outputs[0].length; c += 1) outputs[0][c].set(stem);
    return true;
  }

  /** Count gaps in the stem once it has begun: a gap is one underrun however long. */
  watch(missing, length) {
    if (missing < length) this.hasPlayed = true;
    if (!this.hasPlayed) return;
    this.numDue += length;
    this.numMissing += missing;
    if (missing > 0 && !this.isInGap) this.numUnderruns += 1;
    this.isInGap = missing > 0;
  }

  flush() {
    const index = this.count - this.blockSamples;
    const state = {
      type: "block",
      index,
      mix: this.mix,
      out: this.out,
      delay: this.delay,
      ahead: this.ring.newest - this.count - this.delay,
      numUnderruns: this.numUnderruns,
      numDue: this.numDue,
      numMissing: this.numMissing,
      numLate: this.ring.numLate,
    };
    this.port.postMessage(state, [this.mix.buffer, this.out.buffer]);
    this.newBlock();
  }
}

registerProcessor("gigmate-session", SessionProcessor);
