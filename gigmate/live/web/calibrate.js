// How long a sound takes from the page through loudspeaker, air and microphone back to the page.

import { chirp, CHIRP_S, find } from "./chirp.js";
import { openSource } from "./sources.js";
import { joined } from "./wav.js";

const BEFORE_S = 0.5;
const LISTEN_S = 2;
const LEAST_CERTAINTY = 2.2; // songs without a chirp come up to 2.0

/** Play a chirp and find it in what the input hears: milliseconds from loudspeaker to microphone. Throws. */
export async function calibrate(deviceId) {
  const context = new AudioContext({ latencyHint: "interactive" });
  let source = null;
  try {
    source = await openSource(context, { kind: "microphone", deviceId });
    const { heard, put, sound } = await playAndListen(context, source);
    const { index, certainty } = find(sound, heard);
    const delayS = (index - find(sound, put).index) / context.sampleRate;
    if (certainty < LEAST_CERTAINTY || delayS < 0 || delayS > LISTEN_S - BEFORE_S - CHIRP_S) {
      throw new Error("The chirp wasn't heard. Turn the loudspeaker up, take off headphones, or set the delay by hand.");
    }
    return Math.round(delayS * 1000);
  } finally {
    source?.stop();
    await context.close();
  }
}

async function playAndListen(context, source) {
  await context.audioWorklet.addModule("/static/worklets/session.js");
  const node = new AudioWorkletNode(context, "gigmate-session");
  const [heard, put] = [[], []];
  const isHeard = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => {
      if (data.type !== "block") return;
      heard.push(data.mix);
      put.push(data.out);
      if (data.index > LISTEN_S * context.sampleRate) resolve();
    };
  });
  source.node.connect(node).connect(context.destination);
  await context.resume();
  const sound = chirp(context.sampleRate);
  node.port.postMessage({ type: "start", delay: 0 });
  node.port.postMessage({ type: "stem", index: Math.round(BEFORE_S * context.sampleRate), samples: sound });
  const isSilent = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("No sound came from the input. Choose another one.")), 3000 * LISTEN_S);
  });
  await Promise.race([isHeard, isSilent]);
  return { sound, heard: joined(heard), put: joined(put) };
}
