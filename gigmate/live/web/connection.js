// The socket to the server: hello, pings, and coming back after a cut.

import { decodeAudio, encodeAudio, encodeText, MIX, parseServerText, SUBPROTOCOL, VERSION } from "./protocol.js";

const PING_MS = 1000;
const SILENT_MS = 4000; // a server that plays is never silent for so long: the way to it is blocked
const CONNECT_MS = 10_000;
const MAX_WAITING_BYTES = 65_536; // what waits longer than this takes would only come too late
// The server may need 10 s to see that a client is gone, and keeps its session for another 10 s.
const RETRY_MS = [200, 500, 1000, ...Array(8).fill(2000)];
const NO_ANSWER = 4999; // the page's own: no server closes with it
const MAY_COME_BACK = [1005, 1006, 4408, NO_ANSWER];
const MAY_TRY_AGAIN = [...MAY_COME_BACK, 1013, 4409]; // its place is still taken: by itself

/** Sentences for the ways in which a socket closes. */
export const CLOSES = {
  1005: "There is no connection to the server. Is it running?",
  1006: "There is no connection to the server. Is it running?",
  1001: "The server is shutting down. Start again in a moment.",
  1008: "The server refused: too many messages, or a token is needed (give it at /token).",
  1012: "The player was restarted. Start again.",
  1013: "All places are taken. Try again when somebody has left.",
  4400: "Page and server don't understand each other. Reload the page.",
  4401: "The connection was away too long. Start again.",
  4408: "The server heard nothing for ten seconds. Was the computer asleep? Start again.",
  4409: "This session is open in another tab.",
  4410: "The audio clock jumped. Was the computer asleep? Start again.",
  [NO_ANSWER]: "The server doesn't answer, it may be busy. Try again in a moment.",
  4422: "The server can't play at this sample rate or with this instrument.",
};

/**
 * One session's connection. Calls `on.stem(audio)`, `on.message(message)`, `on.state("connecting" | "open" | "retrying")`
 * and, once, `on.end(sentence)`.
 */
export class Connection {
  constructor(url, hello, on) {
    this.url = url;
    this.hello = { version: VERSION, ...hello };
    this.on = on;
    this.seq = 0;
    this.rttMs = null;
    this.resume = null;
    this.numTries = 0;
    this.isDone = false;
    this.turned = {}; // controls since the hello
    this.open();
  }

  open() {
    this.on.state(this.resume ? "retrying" : "connecting");
    this.isWelcome = false;
    this.heardMs = performance.now();
    this.pulse = setInterval(() => this.beat(), PING_MS);
    this.socket = new WebSocket(this.url, [SUBPROTOCOL]);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(encodeText("hello", { ...this.hello, resume: this.resume }));
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  take(data) {
    if (this.isDone) return;
    this.heardMs = performance.now();
    if (data instanceof ArrayBuffer) {
      this.on.stem(decodeAudio(data));
      return;
    }
    const message = parseServerText(data);
    if (message.type === "welcome") {
      this.isWelcome = true;
      this.resume = message.resume;
      this.numTries = 0;
      this.ping();
      // what was turned while it was away, or on its way when it was cut, isn't known there
      if (Object.keys(this.turned).length) this.say("control", this.turned);
      this.on.state("open");
    } else if (message.type === "pong") {
      this.rttMs = performance.now() - message.sent_ms;
    }
    this.on.message(message);
  }

  /** Ping, or give up a connection on which nothing comes: the browser itself would wait for minutes. */
  beat() {
    const limitMs = this.isWelcome ? SILENT_MS : CONNECT_MS;
    if (performance.now() - this.heardMs < limitMs) {
      this.ping();
      return;
    }
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.closed(NO_ANSWER, "");
  }

  ping() {
    if (!this.isWelcome) return;
    this.numPings = (this.numPings ?? 0) + 1;
    this.say("ping", { id: this.numPings, sent_ms: performance.now(), rtt_ms: this.rttMs });
  }

  /** Send a control, tap, nudge ...; while the connection is away only controls are kept, and sent when it is back. */
  say(type, values) {
    if (type === "control") Object.assign(this.turned, values);
    if (this.isWelcome && this.socket.readyState === WebSocket.OPEN) this.socket.send(encodeText(type, values));
  }

  /** Send a block of the mix. While the connection is away or blocked it is lost: the server fills in silence. */
  sendMix(sampleIndex, samples) {
    const { readyState, bufferedAmount } = this.socket;
    if (!this.isWelcome || readyState !== WebSocket.OPEN || bufferedAmount > MAX_WAITING_BYTES) return;
    this.socket.send(encodeAudio({ kind: MIX, seq: this.seq, sampleIndex, samples }));
    this.seq += 1;
  }

  closed(code, reason) {
    clearInterval(this.pulse);
    this.isWelcome = false;
    if (this.isDone) return;
    const codes = this.numTries > 0 ? MAY_TRY_AGAIN : MAY_COME_BACK;
    if (codes.includes(code) && this.resume && this.numTries < RETRY_MS.length) {
      this.on.state("retrying");
      this.retry = setTimeout(() => this.open(), RETRY_MS[this.numTries]);
      this.numTries += 1;
      return;
    }
    this.isDone = true;
    this.on.end(CLOSES[code] ?? `The server closed the connection (${code}). ${reason ? `It says: ${reason}` : ""}`);
  }

  /** Leave. */
  close() {
    this.isDone = true;
    clearInterval(this.pulse);
    clearTimeout(this.retry);
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(encodeText("goodbye", { reason: "stop" }));
      this.socket.close(1000);
    } else {
      this.socket.close();
    }
  }
}
