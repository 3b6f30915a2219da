// One session: audio graph, connection, recording, and what there is to say about them.

import { Connection } from "./connection.js";
import { countIn } from "./count-in.js";
import { openSource } from "./sources.js";
import { Recording } from "./wav.js";

const START_S = 0.05; // the source and the session's clock begin together, so late that both can
const NOTICE_MS = 6000;
const KEPT_BLOCKS = 1500; // for the timeline

/** Why no session can be opened in this browser, or null. */
export function obstacle() {
  if (window.isSecureContext && window.AudioWorkletNode && window.WebSocket) return null;
  if (window.isSecureContext) return "This browser can't process audio (no AudioWorklet). Use a newer one.";
  return "Browsers keep microphone and audio processing from pages at this kind of address. Open the page on the server's " +
    "own machine at http://127.0.0.1, through a tunnel to it, or by https.";
}

/**
 * Plays along. `on.change()` is called when there is something new to show, `on.end(sentence)` when it is over; for those
 * who want to know more, `on.stem(audio)` with all that comes and `on.late({ index, samples })` with what came too late.
 */
export class Band {
  constructor(on) {
    this.on = on;
    this.state = "stopped";
    this.reset();
  }

  reset() {
    this.welcome = this.plan = this.beat = this.stats = null;
    this.block = { index: 0, delay: 0, ahead: 0, numUnderruns: 0, numDue: 0, numMissing: 0, numLate: 0 };
    this.blockMs = 0;
    this.levels = { mix: 0, stem: 0 };
    this.history = []; // of 20 ms blocks: { index, mix, stem, delay }
    this.sent = []; // of the stem: { index, length, peak }
    this.notice = "";
  }

  get sampleRate() {
    return this.context?.sampleRate ?? 48000;
  }

  /** How much of the stem was there when it was due, 0..1; null while nothing was due. */
  get inTime() {
    return this.block.numDue ? 1 - this.block.numMissing / this.block.numDue : null;
  }

  /** The session's sample that is captured now. */
  get now() {
    if (!this.block.mix) return 0;
    const since = (performance.now() - this.blockMs) / 1000;
    return this.block.index + this.block.mix.length + Math.round(Math.min(0.1, since) * this.sampleRate);
  }

  get rttMs() {
    return this.connection?.rttMs ?? null;
  }

  /** Open devices and connection, count in, and go; or not, if `stop` comes before. Throws SourceError. */
  async start(settings) {
    this.reset();
    this.state = "starting";
    this.opening = new AbortController();
    const { signal } = this.opening;
    this.on.change();
    try {
      if (obstacle()) throw new Error(obstacle());
      await this.open(settings, signal);
    } catch (error) {
      if (signal.aborted) return; // it was stopped, and whoever did that has said why
      this.tearDown();
      throw error;
    }
  }

  async open(settings, signal) {
    const context = (this.context = new AudioContext({ latencyHint: "interactive" }));
    await context.audioWorklet.addModule("/static/worklets/session.js");
    signal.throwIfAborted();
    const source = await openSource(context, settings.source);
    if (signal.aborted) source.stop();
    signal.throwIfAborted();
    this.source = source;
    source.onended = (sentence) => this.stop(sentence ?? "The song is over.");
    this.build(settings);
    await context.resume();
    signal.throwIfAborted();
    if (settings.beats === "tempo") settings = { ...settings, ...source.tempo };
    await this.connect(settings);
    const bar = settings.beats === "tempo" ? await countIn(context, settings.bpm, settings.beatsPerBar) : 0;
    signal.throwIfAborted();
    this.recording = new Recording(this.sampleRate);
    const startS = Math.max(bar, context.currentTime + START_S);
    this.node.port.postMessage({ type: "start", delay: this.delaySamples, startS });
    source.start(startS);
    this.early.forEach((stem) => this.pass(stem));
    this.early = null;
    this.state = "playing";
    this.on.change();
  }

  build(settings) {
    this.node = new AudioWorkletNode(this.context, "gigmate-session", { numberOfInputs: 1, numberOfOutputs: 1 });
    this.node.port.onmessage = ({ data }) => this.fromWorklet(data);
    this.node.onprocessorerror = () => this.stop("The page's audio stopped. Reload the page.");
    this.stemGain = new GainNode(this.context, { gain: settings.muted ? 0 : 1 });
    this.source.node.connect(this.node);
    this.node.connect(this.stemGain).connect(this.context.destination);
    if (this.source.isAudible) this.source.node.connect(this.context.destination);
    this.delaySamples = this.source.isAudible ? 0 : Math.round((settings.deviceDelayMs / 1000) * this.sampleRate);
    this.context.onstatechange = () => {
      if (this.state === "playing" && this.context.state !== "running") {
        this.stop("The browser paused the audio (the computer slept, or another app took the device). Start again.");
      }
    };
  }

  connect(settings) {
    this.early = []; // stem that comes before the clock runs
    const { instrument, temperature, guidance, density, beats, bpm, beatsPerBar, lookaheadMs, seed } = settings;
    const hello = {
      sample_rate: this.sampleRate,
      format: "pcm16",
      instrument,
      seed,
      temperature,
      guidance,
      density,
      beats,
      bpm: beats === "tempo" ? bpm : null,
      beats_per_bar: beatsPerBar,
      lookahead_ms: lookaheadMs,
      device_delay_ms: this.source.isAudible ? 0 : settings.deviceDelayMs,
      buffer_ms: settings.bufferMs,
    };
    return new Promise((resolve, reject) => {
      this.connection = new Connection(settings.url, hello, {
        state: (state) => this.say(state === "retrying" ? "The connection was lost. Trying to get it back …" : ""),
        message: (message) => {
          this.fromServer(message);
          if (message.type === "welcome") resolve();
        },
        stem: (stem) => this.take(stem),
        end: (sentence) => {
          reject(new Error(sentence));
          this.stop(sentence);
        },
      });
    });
  }

  fromServer(message) {
    if (message.type === "welcome") this.welcome = this.plan = message;
    else if (["plan", "beat", "stats"].includes(message.type)) this[message.type] = message;
    else if (message.type === "error") this.say(message.message, NOTICE_MS);
    this.on.change();
  }

  /** Show a sentence, for a while or until the next one. */
  say(sentence, forMs = null) {
    clearTimeout(this.unsay);
    this.notice = sentence;
    if (forMs !== null) this.unsay = setTimeout(() => this.say(""), forMs);
    this.on.change();
  }

  take(stem) {
    this.sent.push({ index: stem.sampleIndex, length: stem.samples.length, peak: peakOf(stem.samples) });
    if (this.sent.length > KEPT_BLOCKS) this.sent.splice(0, KEPT_BLOCKS / 3);
    this.on.stem?.(stem);
    if (this.early) this.early.push(stem);
    else this.pass(stem);
  }

  pass(stem) {
    this.node?.port.postMessage({ type: "stem", index: stem.sampleIndex, samples: stem.samples });
  }

  fromWorklet(data) {
    if (data.type === "late") this.on.late?.(data);
    if (data.type !== "block" || this.state !== "playing") return;
    this.connection.sendMix(data.index, data.mix);
    this.recording.push(data.mix, data.out, data.delay);
    this.levels = { mix: rms(data.mix), stem: rms(data.out) };
    this.history.push({ index: data.index, delay: data.delay, mix: peakOf(data.mix), stem: peakOf(data.out) });
    if (this.history.length > KEPT_BLOCKS) this.history.splice(0, KEPT_BLOCKS / 3);
    this.block = data;
    this.blockMs = performance.now();
  }

  /** Turn controls while playing; keys as in the protocol's `control`. */
  control(values) {
    this.connection?.say("control", values);
    if (values.device_delay_ms !== undefined && this.source && !this.source.isAudible) {
      this.delaySamples = Math.round((values.device_delay_ms / 1000) * this.sampleRate);
      this.node.port.postMessage({ type: "delay", delay: this.delaySamples });
    }
  }

  tap() {
    if (this.state === "playing") this.connection.say("tap", { sample_index: this.now });
  }

  nudge(beats) {
    this.connection?.say("nudge", { beats });
  }

  setMuted(isMuted) {
    if (this.stemGain) this.stemGain.gain.setTargetAtTime(isMuted ? 0 : 1, this.context.currentTime, 0.01);
  }

  /** End it; `sentence` says why if it wasn't asked for. */
  stop(sentence = "") {
    if (this.state === "stopped") return;
    this.tearDown();
    this.on.end(sentence);
  }

  tearDown() {
    this.state = "stopped";
    this.opening?.abort();
    clearTimeout(this.unsay);
    this.notice = "";
    this.connection?.close();
    this.source?.stop();
    this.node?.disconnect();
    if (this.context && this.context.state !== "closed") this.context.close();
    this.connection = this.source = this.node = null;
    this.on.change();
  }
}

const rms = (block) => Math.sqrt(block.reduce((sum, sample) => sum + sample * sample, 0) / block.length);
const peakOf = (block) => block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
