// The socket to the server: hello, pings, and coming back after a cut.

import { decodeAudio, encodeAudio, encodeText, MIX, parseServerText, SUBPROTOCOL, VERSION } from "./protocol.js";

const PING_MS = 1000;
const RETRY_MS = [200, 500, 1000, 2000, 2000, 2000]; // within the 10 s for which the server keeps a session

/** Sentences for the ways in which a socket closes. */
export const CLOSES = {
  1001: "The server is shutting down. Start again in a moment.",
  1008: "The server refused: too many messages, or a token is needed (give it at /token).",
  1012: "The player was restarted. Start again.",
  1013: "All places are taken. Try again when somebody has left.",
  4400: "Page and server don't understand each other. Reload the page.",
  4401: "The connection was away too long. Start again.",
  4408: "The server heard nothing for ten seconds. Was the computer asleep? Start again.",
  4409: "This session is open in another tab.",
  4410: "The audio clock jumped. Was the computer asleep? Start again.",
  4422: "The server can't play at this sample rate or with this instrument.",
};

/**
 * One session's connection. Calls `on.welcome, on.stem, on.message(type, message), on.state("connecting" | "open" |
 * "retrying"), on.end(sentence)`.
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
    this.open();
  }

  open() {
    this.on.state(this.resume ? "retrying" : "connecting");
    this.isWelcome = false;
    this.socket = new WebSocket(this.url, [SUBPROTOCOL]);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(encodeText("hello", { ...this.hello, resume: this.resume }));
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  take(data) {
    if (this.isDone) return;
    if (data instanceof ArrayBuffer) {
      this.on.stem(decodeAudio(data));
      return;
    }
    const message = parseServerText(data);
    if (message.type === "welcome") {
      this.isWelcome = true;
      this.resume = message.resume;
      this.numTries = 0;
      clearInterval(this.pinging);
      this.pinging = setInterval(() => this.ping(), PING_MS);
      this.ping();
      this.on.state("open");
    } else if (message.type === "pong") {
      this.rttMs = performance.now() - message.sent_ms;
    }
    this.on.message(message);
  }

  ping() {
    this.numPings = (this.numPings ?? 0) + 1;
    this.say("ping", { id: this.numPings, sent_ms: performance.now(), rtt_ms: this.rttMs });
  }

  /** Send a control, tap, nudge ...; nothing while the connection is away. */
  say(type, values) {
    if (this.isWelcome && this.socket.readyState === WebSocket.OPEN) this.socket.send(encodeText(type, values));
  }

  /** Send a block of the mix. While the connection is away it is lost: the server fills in silence. */
  sendMix(sampleIndex, samples) {
    if (!this.isWelcome || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(encodeAudio({ kind: MIX, seq: this.seq, sampleIndex, samples }));
    this.seq += 1;
  }

  closed(code, reason) {
    clearInterval(this.pinging);
    if (this.isDone) return;
    const wasCut = code === 1005 || code === 1006;
    if (wasCut && this.resume && this.numTries < RETRY_MS.length) {
      this.on.state("retrying");
      this.retry = setTimeout(() => this.open(), RETRY_MS[this.numTries]);
      this.numTries += 1;
      return;
    }
    this.isDone = true;
    const unknown = wasCut ? "There is no connection to the server. Is it running?" : `The server closed the connection (${code}).`;
    this.on.end(`${CLOSES[code] ?? unknown}${reason && !CLOSES[code] ? ` It says: ${reason}` : ""}`);
  }

  /** Leave. */
  close() {
    this.isDone = true;
    clearInterval(this.pinging);
    clearTimeout(this.retry);
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(encodeText("goodbye", { reason: "stop" }));
      this.socket.close(1000);
    } else {
      this.socket.close();
    }
  }
}
