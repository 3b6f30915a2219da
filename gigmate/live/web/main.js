// The page: its fields, keys and figures. What plays is in band.js.

import { Band, calibrate } from "./band.js";
import { listInputs } from "./sources.js";
import { TapTempo } from "./tap.js";
import { drawTimeline } from "./timeline.js";
import { wavBlob } from "./wav.js";

const $ = (id) => document.getElementById(id);
const KEPT = ["instrument", "source", "beats", "bpm", "beats-per-bar", "density", "temperature", "guidance",
  "device-delay", "buffer", "lookahead"];
const NUDGE_BEATS = 0.05;

const taps = new TapTempo();
const pressed = { mute: false, "lay-out": false, solo: false };
const band = new Band({ change: show, end: ended });

function settings() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return {
    url: `${scheme}://${location.host}/v1/live`,
    instrument: $("instrument").value,
    source: {
      kind: $("source").value,
      deviceId: $("input").value,
      file: $("file").files[0],
      instrument: $("instrument").value,
      seed: Number(new URLSearchParams(location.search).get("seed") ?? 7000013),
    },
    seed: 0,
    beats: $("beats").value,
    bpm: Number($("bpm").value),
    beatsPerBar: Number($("beats-per-bar").value),
    countIn: $("beats").value === "tempo",
    temperature: Number($("temperature").value),
    guidance: Number($("guidance").value),
    density: Number($("density").value),
    deviceDelayMs: Number($("device-delay").value),
    bufferMs: Number($("buffer").value),
    lookaheadMs: $("lookahead").value === "" ? null : -Number($("lookahead").value),
    muted: pressed.mute,
  };
}

async function toggle() {
  if (band.state !== "stopped") {
    band.stop("");
    return;
  }
  $("message").hidden = true;
  try {
    await band.start(settings());
    for (const name of ["lay-out", "solo"]) if (pressed[name]) band.control({ [name.replace("-", "_")]: true });
    if ($("source").value === "microphone") await fillInputs();
  } catch (error) {
    complain(error.message);
  }
}

function ended(sentence) {
  show();
  if (sentence) complain(sentence);
}

function complain(sentence) {
  $("message-text").textContent = sentence;
  $("message").hidden = false;
}

function show() {
  const isOn = band.state !== "stopped";
  $("start").textContent = { stopped: "Start", starting: "…", playing: "Stop" }[band.state];
  $("start").classList.toggle("playing", isOn);
  $("status").textContent = band.notice || statusSentence();
  for (const id of ["source", "input", "file", "beats", "bpm", "beats-per-bar", "calibrate"]) $(id).disabled = isOn;
  const hasRecording = !isOn && Boolean(band.recording?.mix.length);
  for (const id of ["save-mix", "save-stem", "save-both"]) $(id).disabled = !hasRecording;
  if (band.recording) $("recorded").textContent = `${band.recording.seconds.toFixed(0)} s recorded.`;
}

function statusSentence() {
  if (band.state === "starting") return "Opening sound and connection …";
  if (band.state === "stopped") return "Ready. Choose what you play and what the band plays.";
  if (band.plan?.mode === "bars") return `The connection is slow: the band follows ${band.plan.bars} ${band.plan.bars === 1 ? "bar" : "bars"} behind.`;
  return `Playing. The band plays ${-Math.round(band.plan?.lookahead_ms ?? 0)} ms ahead of what it has heard.`;
}

function figures() {
  const rate = band.sampleRate;
  const rows = [
    ["Round trip", band.rttMs === null ? "–" : `${band.rttMs.toFixed(0)} ms`],
    ["Ready ahead", band.state === "playing" ? `${Math.round((1000 * band.block.ahead) / rate)} ms` : "–"],
    ["In time", band.stats?.in_time == null ? "–" : `${(100 * band.stats.in_time).toFixed(1)} %`],
    ["Gaps in the stem", String(band.block.numUnderruns)],
    ["Came too late", `${Math.round((1000 * band.block.numLate) / rate)} ms`],
    ["A step takes", band.stats?.step_p50_ms == null ? "–" : `${band.stats.step_p50_ms.toFixed(1)} ms`],
    ["Tempo", band.beat ? `${band.beat.bpm.toFixed(1)} bpm` : "–"],
    ["Sure of the beat", band.beat ? `${Math.round(100 * band.beat.confidence)} %` : "–"],
  ];
  const list = $("figures");
  if (list.children.length !== rows.length) list.replaceChildren(...rows.map(([name]) => figure(name)));
  rows.forEach(([, value], i) => { list.children[i].lastChild.textContent = value; });
}

function figure(name) {
  const box = document.createElement("div");
  box.append(Object.assign(document.createElement("dt"), { textContent: name }), document.createElement("dd"));
  return box;
}

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { mix: of("--mix"), stem: of("--stem"), beat: of("--beat"), now: of("--text") };
};

function frame() {
  drawTimeline($("timeline"), band, colours());
  const level = (power) => Math.max(-60, 20 * Math.log10(power + 1e-6));
  $("meter-mix").value = band.state === "playing" ? level(band.levels.mix) : -60;
  $("meter-stem").value = band.state === "playing" ? level(band.levels.stem) : -60;
  showBeat();
  requestAnimationFrame(frame);
}

function showBeat() {
  const beat = band.beat;
  const lamps = $("beat");
  const count = beat?.beats_per_bar ?? Number($("beats-per-bar").value);
  if (lamps.children.length !== count) {
    lamps.replaceChildren(...Array.from({ length: count }, () => document.createElement("i")));
  }
  const now = band.block.index + band.blockAge();
  const since = beat ? Math.floor((now - beat.sample_index) / ((60 / beat.bpm) * band.sampleRate)) : 0;
  const on = beat && band.state === "playing" ? (((beat.beat_in_bar + since) % count) + count) % count : -1;
  [...lamps.children].forEach((lamp, i) => lamp.classList.toggle("on", i === on));
}

async function fillInputs() {
  const chosen = $("input").value;
  const inputs = await listInputs();
  $("input").replaceChildren(new Option("the usual one", ""), ...inputs.map(({ id, label }) => new Option(label, id)));
  $("input").value = inputs.some(({ id }) => id === chosen) ? chosen : "";
}

function press(id) {
  pressed[id] = !pressed[id];
  $(id).setAttribute("aria-pressed", String(pressed[id]));
  if (id === "mute") band.setMuted(pressed.mute);
  else band.control({ [id.replace("-", "_")]: pressed[id] });
}

function tap() {
  const bpm = taps.tap(performance.now() / 1000);
  band.tap();
  if (bpm && bpm >= 30 && bpm <= 300) $("bpm").value = Math.round(bpm);
}

function save(name, channels) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(wavBlob(channels, band.recording.sampleRate));
  link.download = `gigmate-${name}.wav`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function wire() {
  for (const id of KEPT) {
    const kept = localStorage.getItem(`gigmate.${id}`);
    if (kept !== null) $(id).value = kept;
    $(id).addEventListener("change", () => localStorage.setItem(`gigmate.${id}`, $(id).value));
  }
  $("start").onclick = toggle;
  $("message-close").onclick = () => { $("message").hidden = true; };
  $("source").onchange = sourceFields;
  $("instrument").addEventListener("change", () => band.control({ instrument: $("instrument").value }));
  for (const id of ["density", "temperature", "guidance"]) {
    const say = () => { $(id).nextElementSibling.textContent = Number($(id).value).toFixed(1); };
    $(id).addEventListener("input", say);
    $(id).addEventListener("change", () => band.control({ [id]: Number($(id).value) }));
    say();
  }
  $("device-delay").addEventListener("change", () => band.control({ device_delay_ms: Number($("device-delay").value) }));
  $("buffer").addEventListener("change", () => band.control({ buffer_ms: Number($("buffer").value) }));
  $("lookahead").addEventListener("change", () => band.control({ lookahead_ms: -Number($("lookahead").value) }));
  for (const id of Object.keys(pressed)) $(id).onclick = () => press(id);
  $("tap").onclick = tap;
  $("earlier").onclick = () => band.nudge(-NUDGE_BEATS);
  $("later").onclick = () => band.nudge(NUDGE_BEATS);
  $("calibrate").onclick = measure;
  $("save-mix").onclick = () => save("you", [band.recording.tracks()[0]]);
  $("save-stem").onclick = () => save("band", [band.recording.tracks()[1]]);
  $("save-both").onclick = () => {
    const [mix, stem] = band.recording.tracks();
    save("both", [mix.map((sample, i) => sample + stem[i])]);
  };
  document.addEventListener("keydown", key);
}

async function measure() {
  $("calibrate").disabled = true;
  try {
    $("device-delay").value = await calibrate($("input").value);
    $("device-delay").dispatchEvent(new Event("change"));
    $("status").textContent = `Loudspeaker to microphone: ${$("device-delay").value} ms.`;
  } catch (error) {
    complain(error.message);
  } finally {
    $("calibrate").disabled = false;
  }
}

function key(event) {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    " ": toggle, t: tap, m: () => press("mute"), l: () => press("lay-out"), s: () => press("solo"),
    ArrowLeft: () => band.nudge(-NUDGE_BEATS), ArrowRight: () => band.nudge(NUDGE_BEATS),
  }[event.key];
  if (!act || (event.key === " " && event.target.matches("button"))) return;
  event.preventDefault();
  act();
}

function sourceFields() {
  $("input-field").hidden = $("source").value !== "microphone";
  $("file-field").hidden = $("source").value !== "file";
  if ($("source").value === "microphone") fillInputs();
}

wire();
sourceFields();
show();
figures();
setInterval(figures, 250);
requestAnimationFrame(frame);
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js").catch(() => {});
if (!window.isSecureContext) {
  complain("This address isn't secure, so browsers keep the microphone from it. Files and the practice band work.");
}

/** For tests and the curious: what is going on, and what was recorded. */
window.gigmate = { band, recorded: () => band.recording?.tracks() ?? null };
