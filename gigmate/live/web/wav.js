// WAV files from what was recorded.

/** A 16-bit WAV of equally long channels. @returns {Blob} */
export function wavBlob(channels, sampleRate) {
  return new Blob([wavBytes(channels, sampleRate)], { type: "audio/wav" });
}

/** @param {Float32Array[]} channels @returns {ArrayBuffer} */
export function wavBytes(channels, sampleRate) {
  const [numChannels, length] = [channels.length, channels[0].length];
  const size = length * numChannels * 2;
  const view = new DataView(new ArrayBuffer(44 + size));
  const put = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  put(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, numChannels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * numChannels * 2, true);
  view.setUint16(32, numChannels * 2, true);
  view.setUint16(34, 16, true);
  put(36, "data");
  view.setUint32(40, size, true);
  for (let i = 0; i < length; i += 1) {
    for (let c = 0; c < numChannels; c += 1) {
      view.setInt16(44 + 2 * (i * numChannels + c), toInt16(channels[c][i]), true);
    }
  }
  return view.buffer;
}

/** What came and what was played, block by block, kept for as long as a session may be recorded. */
export class Recording {
  constructor(sampleRate, maxSeconds = 1800) {
    this.sampleRate = sampleRate;
    this.maxSamples = maxSeconds * sampleRate;
    this.numSamples = 0;
    this.blocks = []; // { mix, stem: Int16Array, delay }
  }

  /** Keep a block, in 16 bits, as it travels; `delay` is by how much its stem was put out early. */
  push(mix, stem, delay) {
    if (this.isFull) return;
    this.blocks.push({ mix: Int16Array.from(mix, toInt16), stem: Int16Array.from(stem, toInt16), delay });
    this.numSamples += mix.length;
  }

  get isFull() {
    return this.numSamples >= this.maxSamples;
  }

  get seconds() {
    return this.numSamples / this.sampleRate;
  }

  /** Mix and stem from the session's sample 0 on: [mix, stem], Float32Array of one length. */
  tracks() {
    const [mix, stem] = [new Float32Array(this.numSamples), new Float32Array(this.numSamples)];
    let start = 0;
    for (const block of this.blocks) {
      mix.set(block.mix, start);
      const at = start + block.delay; // a sample put out early belongs to a later one of the mix
      if (at < stem.length) stem.set(block.stem.subarray(0, stem.length - at), at);
      start += block.mix.length;
    }
    return [mix, stem].map((track) => track.map((sample) => sample / 32768));
  }
}

/** Arrays one after the other. */
export function joined(blocks) {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

function toInt16(sample) {
  return Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
}
