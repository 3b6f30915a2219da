// Finding a known sound in what the microphone heard: how long loudspeaker, air and microphone take together.

const LOW_HZ = 800;
const HIGH_HZ = 4000;
export const CHIRP_S = 0.05;

/** A rising tone that is easy to find again. @returns {Float32Array} */
export function chirp(sampleRate) {
  const length = Math.round(CHIRP_S * sampleRate);
  return Float32Array.from({ length }, (_, i) => {
    const t = i / sampleRate;
    const phase = 2 * Math.PI * (LOW_HZ * t + ((HIGH_HZ - LOW_HZ) * t * t) / (2 * CHIRP_S));
    return 0.5 * Math.sin(phase) * Math.sin((Math.PI * i) / length);
  });
}

/**
 * Where `sound` begins in `heard`: { index, certainty }; certainty is the best correlation against the next best one more
 * than a sound's length away, 1 and less is no find.
 */
export function find(sound, heard) {
  const scores = new Float32Array(Math.max(0, heard.length - sound.length));
  let best = 0;
  for (let at = 0; at < scores.length; at += 1) {
    let sum = 0;
    let power = 1e-9;
    for (let i = 0; i < sound.length; i += 4) {
      // every fourth sample will do: it is a search, and the tone is known
      sum += sound[i] * heard[at + i];
      power += heard[at + i] * heard[at + i];
    }
    scores[at] = Math.abs(sum) / Math.sqrt(power + 1e-6);
    if (scores[at] > scores[best]) best = at;
  }
  let second = 1e-9;
  scores.forEach((score, at) => {
    if (Math.abs(at - best) > sound.length && score > second) second = score;
  });
  return { index: best, certainty: scores.length ? scores[best] / second : 0 };
}
