// The page's parts that need no browser: node --test tests/js

import assert from "node:assert/strict";
import { test } from "node:test";

import { chirp, find } from "../../gigmate/live/web/chirp.js";
import { figuresOf } from "../../gigmate/live/web/figures.js";
import { encodeText, parseServerText, ProtocolError } from "../../gigmate/live/web/protocol.js";
import { StemRing } from "../../gigmate/live/web/stem-ring.js";
import { TapTempo } from "../../gigmate/live/web/tap.js";
import { Recording, wavBytes } from "../../gigmate/live/web/wav.js";

const ramp = (length, start = 0) => Float32Array.from({ length }, (_, i) => (start + i + 1) / 1e6);

test("text leaves out what isn't there, and strange text is refused", () => {
  assert.equal(encodeText("nudge", { beats: 0.5, x: null, y: undefined }), '{"type":"nudge","beats":0.5}');
  assert.equal(parseServerText('{"type":"pong","id":1}').id, 1);
  for (const text of ["", "[]", "null", '{"type":"hello"}', "{"]) assert.throws(() => parseServerText(text), ProtocolError);
});

test("the page says where the beat comes from, from message to message", () => {
  const band = { state: "playing", sampleRate: 48000, inTime: null, rttMs: null };
  band.block = { numUnderruns: 0, numLate: 0, ahead: 0 };
  const shown = () => Object.fromEntries(figuresOf(band))["The beat comes from"];
  assert.equal(shown(), "–");
  for (const [source, words] of [["tracker", "listening"], ["tap", "your taps"], ["other", "–"]]) {
    band.beat = { source, confidence: 0.5 };
    assert.equal(shown(), words);
  }
});

test("figures of a session that isn't there yet aren't shown as none", () => {
  const band = { state: "stopped", sampleRate: 48000, inTime: null, rttMs: null };
  band.block = { numUnderruns: 0, numLate: 0, ahead: 0, delay: 0 };
  assert.ok(figuresOf(band).every(([, value]) => value === "–"));
});

test("a sample is played at its index, whatever the order and the size of the messages", () => {
  const ring = new StemRing(4096);
  const stem = ramp(2000);
  for (const [start, stop] of [[500, 900], [0, 500], [900, 901], [1200, 2000], [901, 1200]]) {
    ring.write(start, stem.subarray(start, stop), 0);
  }
  const out = new Float32Array(2000);
  assert.equal(ring.read(0, out), 0);
  assert.deepEqual(out.subarray(128), stem.subarray(128)); // after the fade in
  assert.equal(ring.newest, 2000);
});

test("late samples are counted and never played; a gap is silence", () => {
  const ring = new StemRing(1024);
  assert.equal(ring.write(100, ramp(50), 120), 20);
  const out = new Float32Array(256);
  assert.equal(ring.read(120, out), 256 - 30);
  assert.equal(out[255], 0);
});

test("what lies before the first sample that is asked for isn't late", () => {
  const ring = new StemRing(1024, 40);
  assert.equal(ring.write(0, ramp(20), 40), 0);
  assert.equal(ring.write(20, ramp(60), 50), 10);
  assert.equal(ring.numLate, 10);
});

test("what the reader jumped over doesn't sound when the ring comes round", () => {
  const ring = new StemRing(1000);
  ring.write(0, ramp(1000), 0);
  assert.equal(ring.read(500, new Float32Array(500)), 0);
  assert.equal(ring.read(1000, new Float32Array(500)), 500);
});

test("a reader that goes back hears the same again, in phase", () => {
  const ring = new StemRing(1000);
  ring.write(0, ramp(600), 0);
  ring.read(0, new Float32Array(400));
  const out = new Float32Array(200);
  assert.equal(ring.read(200, out), 0);
  assert.deepEqual(out, ramp(200, 200));
});

test("the ring goes on past its end", () => {
  const ring = new StemRing(1000);
  const out = new Float32Array(100);
  for (let at = 0; at < 5000; at += 100) {
    ring.write(at, ramp(100, at), at);
    assert.equal(ring.read(at, out), 0);
    assert.ok(Math.abs(out[99] - (at + 100) / 1e6) < 1e-9 || at < 200);
  }
});

test("nothing is written over that hasn't been played", () => {
  const ring = new StemRing(100);
  ring.write(0, ramp(250), 0);
  const out = new Float32Array(100);
  assert.equal(ring.read(0, out), 0);
  assert.equal(ring.read(100, out), 100);
});

test("taps give their median tempo and are forgotten after a pause", () => {
  const taps = new TapTempo();
  assert.equal(taps.tap(10), null);
  [10.5, 11, 11.6, 12, 12.5].forEach((time) => taps.tap(time));
  assert.ok(Math.abs(taps.bpm - 120) < 1e-9);
  assert.equal(taps.tap(30), null);
});

test("a chirp is found where it is, in noise, and not where it isn't", () => {
  const sound = chirp(8000);
  let seed = 1;
  const noise = () => (((seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31) - 0.5) * 0.2;
  const heard = Float32Array.from({ length: 8000 }, noise);
  assert.ok(find(sound, heard).certainty < 2);
  sound.forEach((sample, i) => { heard[3210 + i] += sample; });
  const found = find(sound, heard);
  assert.ok(Math.abs(found.index - 3210) <= 1, String(found.index));
  assert.ok(found.certainty > 2);
});

test("a WAV has a header that fits, and samples that are clipped, not wrapped", () => {
  const view = new DataView(wavBytes([Float32Array.of(0, 1.5), Float32Array.of(-2, 0.5)], 44100));
  assert.equal(view.byteLength, 44 + 8);
  assert.equal(view.getUint32(4, true), view.byteLength - 8);
  assert.equal(view.getUint32(24, true), 44100);
  assert.deepEqual([0, 1, 2, 3].map((i) => view.getInt16(44 + 2 * i, true)), [0, -32768, 32767, 16384]);
});

test("a recording puts the stem where it belongs to the mix, as it was sent", () => {
  const steps = (length, start) => Float32Array.from({ length }, (_, i) => (start + i) / 32768);
  const recording = new Recording(50, 1);
  recording.push(steps(10, 0), steps(10, 5), 5); // stem sample 5 went out with mix sample 0
  recording.push(steps(10, 10), steps(10, 15), 5);
  const [mix, stem] = recording.tracks();
  assert.deepEqual(mix, steps(20, 0));
  assert.deepEqual(stem.subarray(5), mix.subarray(5));
  assert.equal(stem[4], 0);
});

test("a recording that is full stays as it is", () => {
  const recording = new Recording(50, 1);
  for (let i = 0; i < 10; i += 1) recording.push(ramp(10), ramp(10), 0);
  assert.ok(recording.isFull);
  assert.equal(recording.seconds, 1);
  assert.equal(recording.tracks()[0].length, 50);
});
