// One bar of clicks before the music.

const CLICK_GAIN = 0.3;
const CLICK_S = 0.06;
const FIRST_S = 0.1;
const EARLY_S = 0.1;
const LONGEST_S = 8; // a server waits ten seconds for the first sound

/** Click a bar; resolves shortly before the next one, with its time in the context. */
export async function countIn(context, bpm, beatsPerBar) {
  const beatS = 60 / bpm;
  const numBeats = Math.max(1, Math.min(beatsPerBar, Math.floor(LONGEST_S / beatS)));
  const start = context.currentTime + FIRST_S;
  for (let beat = 0; beat < numBeats; beat += 1) click(context, start + beat * beatS, beat === 0);
  const end = start + numBeats * beatS;
  await new Promise((resolve) => setTimeout(resolve, 1000 * (end - EARLY_S - context.currentTime)));
  return end;
}

function click(context, time, isFirst) {
  const tone = new OscillatorNode(context, { frequency: isFirst ? 1760 : 1320 });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(CLICK_GAIN, time);
  gain.gain.exponentialRampToValueAtTime(0.001, time + CLICK_S);
  tone.connect(gain).connect(context.destination);
  tone.start(time);
  tone.stop(time + CLICK_S);
}
