// The page's side of the protocol, held to the golden bytes that pytest reads too: node --test tests/js

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  decodeAudio, encodeAudio, encodeText, FLOAT32, HEADER_BYTES, MIX, parseServerText, PCM16, ProtocolError, STEM,
} from "../../gigmate/live/web/protocol.js";

const golden = JSON.parse(readFileSync(new URL("../data/live_protocol/golden.json", import.meta.url)));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytesOf = (text) => new Uint8Array(Buffer.from(text, "hex")).buffer;

for (const { hex: want, sample_index: sampleIndex, samples, ...rest } of golden.audio) {
  test(`audio ${want.slice(0, 8)} is encoded and decoded`, () => {
    const audio = { ...rest, sampleIndex, samples: Float32Array.from(samples) };
    assert.equal(hex(encodeAudio(audio)), want);
    assert.deepEqual(decodeAudio(bytesOf(want), audio.kind), audio);
  });
}

for (const { hex: bytes, why } of golden.not_audio) {
  test(`not audio: ${why}`, () => assert.throws(() => decodeAudio(bytesOf(bytes), MIX), ProtocolError));
}

for (const text of golden.client_text) {
  const { type, ...values } = JSON.parse(text);
  test(`${type} is said as the reference client says it`, () => assert.equal(encodeText(type, values), text));
}

for (const text of golden.server_text) {
  const message = JSON.parse(text);
  test(`${message.type} is understood`, () => assert.deepEqual(parseServerText(text), message));
}

test("samples beyond full scale are cut, not wrapped", () => {
  const samples = Float32Array.from([1, 1.5, -1, -7, 0.99999]);
  const { samples: heard } = decodeAudio(encodeAudio({ kind: STEM, seq: 0, sampleIndex: 0, samples }));
  assert.deepEqual([...heard], [32767, 32767, -32768, -32768, 32767].map((value) => value / 32768));
});

test("float samples travel as they are", () => {
  const samples = Float32Array.from([1.5, -7, 1e-20]);
  const bytes = encodeAudio({ kind: STEM, format: FLOAT32, seq: 0, sampleIndex: 0, samples });
  assert.deepEqual(decodeAudio(bytes).samples, samples);
});

test("a message is a header and its samples, nothing else", () => {
  for (const [format, width] of [[PCM16, 2], [FLOAT32, 4]]) {
    const bytes = encodeAudio({ kind: MIX, format, seq: 0, sampleIndex: 0, samples: new Float32Array(960) });
    assert.equal(bytes.byteLength, HEADER_BYTES + 960 * width);
  }
});

test("what the server never says is refused", () => {
  for (const text of ["", "{", "[]", "null", "3", '"stats"', "{}", '{"type":"hello"}', '{"type":"constructor"}']) {
    assert.throws(() => parseServerText(text), ProtocolError, text);
  }
});
