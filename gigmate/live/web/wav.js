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
      const sample = Math.max(-32768, Math.min(32767, Math.round(channels[c][i] * 32767)));
      view.setInt16(44 + 2 * (i * numChannels + c), sample, true);
    }
  }
  return view.buffer;
}

/** What came and what was played, block by block, kept for as long as a session may be recorded. */
export class Recording {
  constructor(sampleRate, maxSeconds = 1800) {
    this.sampleRate = sampleRate;
    this.maxBlocks = Math.ceil(maxSeconds * 50);
    this.mix = [];
    this.stem = [];
    this.delays = [];
  }

  /** Keep a block; `delay` is by how much its stem was put out early. */
  push(mix, stem, delay) {
    if (this.mix.length >= this.maxBlocks) return;
    this.mix.push(mix);
    this.stem.push(stem);
    this.delays.push(delay);
  }

  get seconds() {
    return this.mix.reduce((sum, block) => sum + block.length, 0) / this.sampleRate;
  }

  /** Mix and stem from the session's sample 0 on: [mix, stem], Float32Array of one length. */
  tracks() {
    const mix = joined(this.mix);
    const stem = new Float32Array(mix.length);
    let start = 0;
    this.stem.forEach((block, i) => {
      const at = start + this.delays[i]; // a sample put out early belongs to a later one of the mix
      stem.set(block.subarray(0, Math.max(0, Math.min(block.length, stem.length - at))), Math.min(at, stem.length));
      start += block.length;
    });
    return [mix, stem];
  }
}

function joined(blocks) {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}
