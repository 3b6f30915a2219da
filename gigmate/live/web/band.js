// One session: audio graph, connection, recording, and what there is to say about them.

import { chirp, CHIRP_S, find } from "./chirp.js";
import { Connection } from "./connection.js";
import { LAID_OUT } from "./protocol.js";
import { openSource } from "./sources.js";
import { Recording } from "./wav.js";

const COUNT_IN_GAIN = 0.3;

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
    this.block = { index: 0, ahead: 0, numUnderruns: 0, numMissing: 0, numLate: 0 };
    this.levels = { mix: 0, stem: 0 };
    this.history = []; // of 20 ms blocks: { index, mix, stem }
    this.sent = []; // of the stem: { index, length, peak, isLaidOut }
    this.notice = "";
  }

  get sampleRate() {
    return this.context?.sampleRate ?? 48000;
  }

  get rttMs() {
    return this.connection?.rttMs ?? null;
  }

  /** Open devices and connection, count in, and go. Throws SourceError. */
  async start(settings) {
    this.reset();
    this.settings = settings;
    this.state = "starting";
    this.on.change();
    try {
      this.context = new AudioContext({ latencyHint: "interactive" });
      if (!this.context.audioWorklet) throw new Error("This browser has no AudioWorklet. Use a newer one.");
      await this.context.audioWorklet.addModule("/static/worklets/session.js");
      this.source = await openSource(this.context, settings.source);
      this.source.onended = (sentence) => this.stop(sentence ?? "The song is over.");
      this.build(settings);
      await this.context.resume();
      await this.connect(settings);
      if (settings.countIn) await this.countIn(settings.bpm, settings.beatsPerBar);
    } catch (error) {
      this.tearDown();
      throw error;
    }
    this.recording = new Recording(this.sampleRate);
    this.node.port.postMessage({ type: "start", delay: this.delaySamples });
    this.early.forEach((stem) => this.pass(stem));
    this.early = null;
    this.source.start();
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
        state: (state) => {
          this.notice = state === "retrying" ? "The connection was lost. Trying to get it back …" : "";
          this.on.change();
        },
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
    else if (message.type === "error") this.notice = message.message;
    this.on.change();
  }

  take(stem) {
    const peak = stem.samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    const isLaidOut = (stem.flags & LAID_OUT) !== 0;
    this.sent.push({ index: stem.sampleIndex, length: stem.samples.length, peak, isLaidOut });
    if (this.sent.length > 1500) this.sent.splice(0, 500);
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
    this.history.push({ index: data.index, mix: peakOf(data.mix), stem: peakOf(data.out) });
    if (this.history.length > 1500) this.history.splice(0, 500);
    this.block = data;
  }

  /** Clicks for one bar before sample 0; only the tempo source knows how fast. */
  async countIn(bpm, beatsPerBar) {
    const beatS = 60 / bpm;
    const start = this.context.currentTime + 0.1;
    for (let beat = 0; beat < beatsPerBar; beat += 1) click(this.context, start + beat * beatS, beat === 0);
    const waitS = start + beatsPerBar * beatS - this.context.currentTime;
    await new Promise((resolve) => setTimeout(resolve, 1000 * waitS));
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
    this.connection?.say("tap", { sample_index: this.block.index + this.blockAge() });
  }

  nudge(beats) {
    this.connection?.say("nudge", { beats });
  }

  setMuted(isMuted) {
    if (this.stemGain) this.stemGain.gain.setTargetAtTime(isMuted ? 0 : 1, this.context.currentTime, 0.01);
  }

  blockAge() {
    return this.block.mix ? this.block.mix.length : 0;
  }

  /** End it; `sentence` says why if it wasn't asked for. */
  stop(sentence = "") {
    if (this.state === "stopped") return;
    this.tearDown();
    this.on.end(sentence);
  }

  tearDown() {
    this.state = "stopped";
    this.connection?.close();
    this.source?.stop();
    this.node?.disconnect();
    if (this.context && this.context.state !== "closed") this.context.close();
    this.connection = this.source = this.node = null;
    this.on.change();
  }
}

/** Play a chirp and find it in what the microphone hears: milliseconds from loudspeaker to microphone. Throws. */
export async function calibrate(deviceId) {
  const context = new AudioContext({ latencyHint: "interactive" });
  const source = await openSource(context, { kind: "microphone", deviceId });
  try {
    await context.audioWorklet.addModule("/static/worklets/session.js");
    const node = new AudioWorkletNode(context, "gigmate-session");
    const [heard, put] = [[], []];
    node.port.onmessage = ({ data }) => {
      if (data.type !== "block") return;
      heard.push(...data.mix);
      put.push(...data.out);
    };
    source.node.connect(node).connect(context.destination);
    await context.resume();
    const sound = chirp(context.sampleRate);
    node.port.postMessage({ type: "start", delay: 0 });
    node.port.postMessage({ type: "stem", index: Math.round(0.5 * context.sampleRate), samples: sound });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const played = find(sound, Float32Array.from(put)).index;
    const { index, certainty } = find(sound, Float32Array.from(heard));
    const delayS = (index - played) / context.sampleRate;
    if (certainty < 2 || delayS < 0 || delayS > 1.5 - CHIRP_S) {
      throw new Error("The chirp wasn't heard. Turn the loudspeaker up, take off headphones, or set the delay by hand.");
    }
    return Math.round(delayS * 1000);
  } finally {
    source.stop();
    await context.close();
  }
}

function click(context, time, isFirst) {
  const tone = new OscillatorNode(context, { frequency: isFirst ? 1760 : 1320 });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(COUNT_IN_GAIN, time);
  gain.gain.exponentialRampToValueAtTime(0.001, time + 0.06);
  tone.connect(gain).connect(context.destination);
  tone.start(time);
  tone.stop(time + 0.07);
}

const rms = (block) => Math.sqrt(block.reduce((sum, sample) => sum + sample * sample, 0) / block.length);
const peakOf = (block) => block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
