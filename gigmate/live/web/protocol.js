// The bytes of WS /v1/live, as gigmate/live/PROTOCOL.md says and gigmate/live/protocol.py does.

export const VERSION = 1;
export const SUBPROTOCOL = "gigmate.v1";
export const HEADER_BYTES = 24;
export const MIX = 1;
export const STEM = 2;
export const PCM16 = 0;
export const FLOAT32 = 1;
export const LAID_OUT = 1;
export const AFTER_GAP = 2;
export const RATES = [16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000];

const SERVER_TYPES = new Set(["welcome", "plan", "beat", "stats", "pong", "error", "goodbye"]);

/** A message that isn't one. */
export class ProtocolError extends Error {}

/**
 * An audio message as it travels: { kind, format, flags, seq, sampleIndex, samples } with Float32Array samples in -1..1.
 * @returns {ArrayBuffer}
 */
export function encodeAudio({ kind, format = PCM16, flags = 0, seq, sampleIndex, samples }) {
  const width = format === PCM16 ? 2 : 4;
  const bytes = new ArrayBuffer(HEADER_BYTES + samples.length * width);
  const view = new DataView(bytes);
  view.setUint8(0, VERSION);
  view.setUint8(1, kind);
  view.setUint8(2, format);
  view.setUint8(3, flags);
  view.setUint32(4, seq, true);
  view.setBigUint64(8, BigInt(sampleIndex), true);
  view.setUint32(16, samples.length, true);
  for (let i = 0, at = HEADER_BYTES; i < samples.length; i += 1, at += width) {
    if (format === PCM16) view.setInt16(at, toInt16(samples[i]), true);
    else view.setFloat32(at, samples[i], true);
  }
  return bytes;
}

/** The audio in a binary message; throws ProtocolError. */
export function decodeAudio(bytes, kind = STEM) {
  if (bytes.byteLength < HEADER_BYTES) throw new ProtocolError(`${bytes.byteLength} bytes are no audio message`);
  const view = new DataView(bytes);
  const [version, ownKind, format, flags] = [0, 1, 2, 3].map((at) => view.getUint8(at));
  const numSamples = view.getUint32(16, true);
  if (version !== VERSION) throw new ProtocolError(`audio of version ${version}, this page speaks ${VERSION}`);
  if (ownKind !== kind || format > FLOAT32 || flags > 3 || view.getUint32(20, true) !== 0) {
    throw new ProtocolError(`kind ${ownKind}, format ${format}, flags ${flags}: not an audio header`);
  }
  const width = format === PCM16 ? 2 : 4;
  if (bytes.byteLength !== HEADER_BYTES + numSamples * width) {
    throw new ProtocolError(`${bytes.byteLength} bytes, but the header says ${numSamples} samples`);
  }
  const samples = new Float32Array(numSamples);
  for (let i = 0, at = HEADER_BYTES; i < numSamples; i += 1, at += width) {
    samples[i] = format === PCM16 ? view.getInt16(at, true) / 32768 : view.getFloat32(at, true);
  }
  const sampleIndex = Number(view.getBigUint64(8, true));
  return { kind: ownKind, format, flags, seq: view.getUint32(4, true), sampleIndex, samples };
}

/** A text message; fields that are null or undefined are left out. */
export function encodeText(type, values = {}) {
  const present = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return JSON.stringify({ type, ...Object.fromEntries(present) });
}

/** What the server says: an object with `type`; throws ProtocolError. */
export function parseServerText(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    throw new ProtocolError("the server sent no JSON");
  }
  if (message === null || typeof message !== "object" || !SERVER_TYPES.has(message.type)) {
    throw new ProtocolError("the server sent a message of an unknown type");
  }
  return message;
}

function toInt16(sample) {
  return Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
}
