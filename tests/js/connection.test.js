// Coming back after a cut, with a socket and a clock of our own: node --test tests/js

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { CLOSES, Connection } from "../../gigmate/live/web/connection.js";

let sockets;
let clockMs;

class Socket {
  static OPEN = 1;

  constructor() {
    this.readyState = Socket.OPEN;
    this.bufferedAmount = 0;
    this.sent = [];
    sockets.push(this);
  }

  send(data) {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : data);
  }

  close() {
    this.readyState = 3;
  }

  welcome(resume) {
    this.onopen();
    this.onmessage({ data: JSON.stringify({ type: "welcome", resume }) });
  }

  drop(code) {
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }
}

beforeEach(() => {
  [sockets, clockMs] = [[], 0];
  globalThis.WebSocket = Socket;
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  mock.method(performance, "now", () => clockMs);
});
afterEach(() => mock.reset());

function pass(ms) {
  for (let i = 0; i < ms; i += 100) {
    clockMs += 100;
    mock.timers.tick(100);
  }
}

function connected() {
  const ends = [];
  const on = { state() {}, message() {}, stem() {}, end: (sentence) => ends.push(sentence) };
  const connection = new Connection("ws://here", { sample_rate: 48000 }, on);
  sockets[0].welcome("first");
  return { connection, ends };
}

const last = () => sockets[sockets.length - 1];
const mixes = (socket) => socket.sent.filter((data) => data instanceof ArrayBuffer);

test("after a cut it comes back with the token it was given last", () => {
  const { ends } = connected();
  last().drop(1006);
  pass(300);
  assert.equal(sockets.length, 2);
  last().welcome("second");
  assert.equal(last().sent[0].resume, "first");
  last().drop(1006);
  pass(300);
  last().onopen();
  assert.equal(last().sent[0].resume, "second");
  assert.deepEqual(ends, []);
});

test("what was turned while it was away counts when it is back", () => {
  const { connection } = connected();
  const controls = () => last().sent.filter((data) => data.type === "control");
  connection.say("control", { density: 0.5, device_delay_ms: 40 });
  last().drop(1006);
  connection.say("control", { device_delay_ms: 90 });
  connection.say("tap", { sample_index: 7 });
  pass(300);
  last().welcome("second");
  assert.deepEqual(controls(), [{ type: "control", density: 0.5, device_delay_ms: 90 }]);
  assert.equal(last().sent.some((data) => data.type === "tap"), false);
});

test("the mix goes on where it is; what there was while it was away is left out", () => {
  const { connection } = connected();
  connection.sendMix(0, new Float32Array(960));
  last().drop(1006);
  connection.sendMix(960, new Float32Array(960));
  pass(300);
  last().welcome("second");
  connection.sendMix(1920, new Float32Array(960));
  const view = new DataView(mixes(last())[0]);
  assert.equal(view.getUint32(4, true), 1);
  assert.equal(view.getBigUint64(8, true), 1920n);
});

test("its own place may still look taken when it comes back, but not at first", () => {
  const { ends } = connected();
  last().drop(1006);
  for (const code of [4409, 1013, 1006]) {
    pass(2100);
    last().drop(code);
  }
  assert.deepEqual(ends, []);
  pass(2100);
  last().welcome("second");
  last().drop(1013);
  assert.deepEqual(ends, [CLOSES[1013]]);
});

test("it gives up in the end, once, with a sentence", () => {
  const { ends } = connected();
  for (let i = 0; i < 20 && !ends.length; i += 1) {
    last().drop(1006);
    pass(2100);
  }
  assert.deepEqual(ends, [CLOSES[1006]]);
  assert.ok(clockMs > 16_000, String(clockMs));
});

test("a server that can't be reached at all is told at once", () => {
  const ends = [];
  new Connection("ws://here", {}, { state() {}, end: (sentence) => ends.push(sentence) });
  last().drop(1006);
  assert.deepEqual(ends, [CLOSES[1006]]);
});

test("a server that takes the connection but doesn't answer is told apart from none", () => {
  const ends = [];
  new Connection("ws://here", {}, { state() {}, end: (sentence) => ends.push(sentence) });
  last().onopen();
  pass(9900);
  assert.deepEqual(ends, []);
  pass(1500);
  assert.match(ends.join(), /may be busy/);
  assert.equal(sockets.length, 1);
});

test("a connection on which nothing comes is given up and opened anew", () => {
  connected();
  pass(3900);
  assert.equal(sockets.length, 1);
  pass(1500);
  assert.equal(sockets[0].readyState, 3);
  assert.equal(sockets.length, 2);
});

test("nothing is sent into a blocked connection", () => {
  const { connection } = connected();
  last().bufferedAmount = 1e6;
  connection.sendMix(0, new Float32Array(960));
  assert.deepEqual(mixes(last()), []);
});

test("who leaves says goodbye and isn't told of the end", () => {
  const { connection, ends } = connected();
  connection.close();
  assert.equal(last().sent.at(-1).type, "goodbye");
  last().drop(1000);
  pass(3000);
  assert.equal(sockets.length, 1);
  assert.deepEqual(ends, []);
});
