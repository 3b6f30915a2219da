// Where the mix comes from: microphone or interface, a file, or the built-in practice band.

const MIC = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };

const PRACTICE_S = 120;

/** A sentence that says what went wrong and what to do. */
export class SourceError extends Error {}

/**
 * Open a source: { node, isAudible, start(timeS), stop(), onended(sentence), tempo }. `isAudible`: it has to be sent to the
 * loudspeaker too; `tempo`: { bpm, beatsPerBar } if known, and then it begins on a beat. Throws SourceError.
 */
export async function openSource(context, { kind, deviceId, file, instrument, seed = 1 }) {
  if (kind === "microphone") return microphone(context, deviceId);
  if (kind === "file") return player(context, await readFile(file));
  const { bytes, tempo, firstBeatS } = await practice(instrument, seed);
  return player(context, bytes, tempo, firstBeatS);
}

async function microphone(context, deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new SourceError("This browser has no way to an input. Use a newer one, or play with a file or the practice band.");
  }
  let stream;
  try {
    const audio = deviceId ? { ...MIC, deviceId: { exact: deviceId } } : MIC;
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new SourceError(micSentence(error));
  }
  const node = context.createMediaStreamSource(stream);
  const stop = () => {
    stream.getTracks().forEach((track) => track.stop());
    node.disconnect();
  };
  const source = { node, isAudible: false, start() {}, stop, onended: null, tempo: null };
  stream.getTracks()[0].onended = () => source.onended?.("The input was unplugged. Choose another one and start again.");
  return source;
}

function micSentence(error) {
  if (error.name === "NotAllowedError") {
    return "The microphone was refused. Allow it in the browser's address bar, or play with a file or the practice band.";
  }
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") {
    return "No input was found. Plug in a microphone or interface, or play with a file or the practice band.";
  }
  return `The input can't be opened (${error.name}). Does another program use it? Close that and try again.`;
}

async function readFile(file) {
  if (!file) throw new SourceError("Choose a file first.");
  return file.arrayBuffer();
}

async function practice(instrument, seed) {
  const query = new URLSearchParams({ seed, without: instrument, seconds: PRACTICE_S });
  const answer = await fetch(`/practice.wav?${query}`).catch(() => null);
  if (answer === null) throw new SourceError("There is no connection to the server. Is it running?");
  if (!answer.ok) throw new SourceError("The practice band isn't there just now. Try again, or play with a file.");
  const fact = (name) => Number(answer.headers.get(`X-Gigmate-${name}`));
  const tempo = { bpm: fact("bpm"), beatsPerBar: fact("beats_per_bar") };
  return { bytes: await answer.arrayBuffer(), tempo, firstBeatS: fact("first_beat_s") };
}

async function player(context, bytes, tempo = null, fromS = 0) {
  let buffer;
  try {
    buffer = await context.decodeAudioData(bytes);
  } catch {
    throw new SourceError("This file can't be played. wav, mp3, flac and ogg usually can.");
  }
  const node = new AudioBufferSourceNode(context, { buffer });
  const source = { node, isAudible: true, start: (timeS) => node.start(timeS, fromS), stop, onended: null, tempo };
  node.onended = () => source.onended?.(null);
  function stop() {
    node.onended = null;
    try {
      node.stop();
    } catch {
      // it never began
    }
    node.disconnect();
  }
  return source;
}

/** Inputs that can be chosen: [{ id, label }]; labels are empty until the microphone was allowed once. */
export async function listInputs() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices
    .filter((device) => device.kind === "audioinput")
    .map((device, i) => ({ id: device.deviceId, label: device.label || `Input ${i + 1}` }));
}
