// The page: its fields, keys and figures. What plays is in band.js.

import { Band, obstacle } from "./band.js";
import { calibrate } from "./calibrate.js";
import { barsOf, beatInBar, figuresOf, showFigures, showLamps } from "./figures.js";
import { listInputs } from "./sources.js";
import { TapTempo } from "./tap.js";
import { drawTimeline } from "./timeline.js";
import { wavBlob } from "./wav.js";

const $ = (id) => document.getElementById(id);
const KEPT = ["instrument", "source", "song", "beats", "bpm", "beats-per-bar", "density", "temperature", "guidance",
  "device-delay", "buffer", "lookahead"];
const FALL_DB = 1; // of a meter, per picture
const NUDGE_BEATS = 0.05;
const FIRST_SONG = 7_000_000; // far from the songs that models are trained on

const taps = new TapTempo();
const pressed = { mute: false, "lay-out": false, solo: false };
let isMeasuring = false;
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
      seed: FIRST_SONG + Number($("song").value),
    },
    seed: 0,
    beats: $("beats").value,
    bpm: Number($("bpm").value),
    beatsPerBar: Number($("beats-per-bar").value),
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
  if (isMeasuring) return;
  if (band.state !== "stopped") {
    band.stop("");
    return;
  }
  $("message").hidden = true;
  const wrong = [...document.querySelectorAll("input:invalid")].find((input) => input.closest("[hidden]") === null);
  if (wrong) {
    complainOf(wrong);
    wrong.focus();
    return;
  }
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

function complainOf(input) {
  complain(`${input.labels[0].textContent.trim()}: ${input.validationMessage}`);
}

function show() {
  const isOn = band.state !== "stopped";
  $("start").textContent = { stopped: "Start", starting: "Cancel", playing: "Stop" }[band.state];
  $("start").classList.toggle("playing", isOn);
  const sentence = band.notice || statusSentence();
  if ($("status").textContent !== sentence) $("status").textContent = sentence; // else it would be read out again
  for (const id of ["source", "song", "input", "file", "beats", "bpm", "beats-per-bar"]) $(id).disabled = isOn;
  $("start").disabled = isMeasuring;
  $("calibrate").disabled = isOn || isMeasuring;
  const hasRecording = !isOn && Boolean(band.recording?.numSamples);
  for (const id of ["save-mix", "save-stem", "save-both"]) $(id).disabled = !hasRecording;
  if (band.recording) $("recorded").textContent = recordedSentence(band.recording);
  figures();
}

function recordedSentence({ seconds, isFull }) {
  const length = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  return `${length} recorded${isFull ? ", which is the most that fits" : ""}. The files begin together.`;
}

function statusSentence() {
  if (isMeasuring) return "Listening for the chirp …";
  if (band.state === "starting") return "Opening sound and connection …";
  if (band.state === "stopped") return "Ready. Choose what you play and what the band plays.";
  if (band.plan?.mode === "bars") {
    return `The connection or the server is slow: the band follows ${barsOf(band.plan)} behind.`;
  }
  return `Playing. The band plays ${-Math.round(band.plan?.lookahead_ms ?? 0)} ms ahead of what it has heard.`;
}

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { mix: of("--mix"), stem: of("--stem"), beat: of("--beat"), now: of("--text") };
};

function frame() {
  drawTimeline($("timeline"), band, colours());
  for (const track of ["mix", "stem"]) {
    const meter = $(`meter-${track}`);
    const level = band.state === "playing" ? 20 * Math.log10(band.levels[track] + 1e-6) : -60;
    meter.value = Math.max(level, meter.value - FALL_DB);
  }
  showLamps($("lamps"), band.beat?.beats_per_bar ?? Number($("beats-per-bar").value), beatInBar(band));
  requestAnimationFrame(frame);
}

function figures() {
  showFigures($("figures"), figuresOf(band));
  $("tempo").textContent = band.beat?.bpm.toFixed(1) ?? "–";
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
  $("source").addEventListener("change", sourceFields);
  $("instrument").addEventListener("change", () => band.control({ instrument: $("instrument").value }));
  for (const id of ["density", "temperature", "guidance"]) {
    const say = () => { $(id).nextElementSibling.textContent = Number($(id).value).toFixed(1); };
    $(id).addEventListener("input", say);
    $(id).addEventListener("change", () => band.control({ [id]: Number($(id).value) }));
    say();
  }
  const turned = (id, values) => $(id).addEventListener("change", () => {
    if ($(id).validity.valid) band.control(values(Number($(id).value)));
    else complainOf($(id));
  });
  turned("device-delay", (value) => ({ device_delay_ms: value }));
  turned("buffer", (value) => ({ buffer_ms: value }));
  turned("lookahead", (value) => ({ lookahead_ms: -value }));
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
  $("message").hidden = true;
  if (obstacle()) {
    complain(obstacle());
    return;
  }
  isMeasuring = true;
  show();
  let sentence = null;
  try {
    $("device-delay").value = await calibrate($("input").value);
    $("device-delay").dispatchEvent(new Event("change"));
    sentence = `Loudspeaker to microphone: ${$("device-delay").value} ms.`;
  } catch (error) {
    complain(error.message);
  }
  isMeasuring = false;
  show();
  if (sentence) $("status").textContent = sentence;
}

function key(event) {
  if (event.key === "Escape") $("message").hidden = true;
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
  $("song-field").hidden = $("source").value !== "practice";
  $("input-field").hidden = $("source").value !== "microphone";
  $("file-field").hidden = $("source").value !== "file";
  if ($("source").value === "microphone") fillInputs();
}

wire();
sourceFields();
show();
setInterval(figures, 250);
requestAnimationFrame(frame);
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js").catch(() => {});
if (obstacle()) complain(obstacle());

/** For tests and the curious: what is going on, and what was recorded. */
window.gigmate = { band, recorded: () => band.recording?.tracks() ?? null };
