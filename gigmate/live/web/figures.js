// What is known of the session, in plain words: figures and the lamps of the beat.

const BEAT_SOURCES = { tracker: "listening", tap: "your taps", clock: "a MIDI clock", tempo: "the tempo" };

/** The figures to show: [name, value] each. */
export function figuresOf(band) {
  const ms = (value) => (value == null || band.state !== "playing" ? "–" : `${Math.round(value)} ms`);
  const samplesMs = (samples) => (1000 * samples) / band.sampleRate;
  const { block, stats, beat, plan, context } = band;
  return [
    ["In time", band.inTime === null ? "–" : `${floorTo(100 * band.inTime, 10)} %`],
    ["Gaps in its sound", band.inTime === null ? "–" : String(block.numUnderruns)],
    ["Came too late", band.inTime === null ? "–" : `${Math.round(samplesMs(block.numLate))} ms`],
    ["Has ready", ms(samplesMs(block.ahead))],
    plan?.mode === "bars" ? ["Follows behind by", barsOf(plan)] : ["Plays ahead by", ms(plan && -plan.lookahead_ms)],
    ["Round trip", ms(band.rttMs)],
    ["Server needs for 20 ms", stats?.step_p50_ms == null ? "–" : `${stats.step_p50_ms.toFixed(1)} ms`],
    ["Made up for devices", ms(samplesMs(block.delay))],
    ["The beat comes from", BEAT_SOURCES[beat?.source] ?? "–"],
    ["Sure of the beat", beat ? `${Math.round(100 * beat.confidence)} %` : "–"],
    ["Sound output takes", ms(context && 1000 * ((context.outputLatency ?? 0) + (context.baseLatency ?? 0)))],
    ["Sessions on the server", stats ? String(stats.sessions) : "–"],
  ];
}

/** How many bars it is behind, in words. */
export function barsOf({ bars }) {
  return `${bars} ${bars === 1 ? "bar" : "bars"}`;
}

/** Put figures into a <dl>. */
export function showFigures(list, rows) {
  if (list.children.length !== rows.length) list.replaceChildren(...rows.map(figure));
  rows.forEach(([name, value], i) => {
    list.children[i].firstChild.textContent = name;
    list.children[i].lastChild.textContent = value;
  });
}

/** Which beat of the bar it is, from 0; -1: it isn't known. */
export function beatInBar(band) {
  const { beat } = band;
  if (!beat || band.state !== "playing") return -1;
  const since = Math.floor((band.now - beat.sample_index) / ((60 / beat.bpm) * band.sampleRate));
  return (((beat.beat_in_bar + since) % beat.beats_per_bar) + beat.beats_per_bar) % beat.beats_per_bar;
}

/** Light the lamp of the beat. */
export function showLamps(lamps, count, on) {
  if (lamps.children.length !== count) {
    lamps.replaceChildren(...Array.from({ length: count }, (_, i) => numbered(i + 1)));
  }
  [...lamps.children].forEach((lamp, i) => lamp.classList.toggle("on", i === on));
}

function numbered(number) {
  return Object.assign(document.createElement("i"), { textContent: number });
}

function figure() {
  const box = document.createElement("div");
  box.append(document.createElement("dt"), document.createElement("dd"));
  return box;
}

/** Rounded down, so that 100 % means all. */
function floorTo(value, parts) {
  return (Math.floor(value * parts) / parts).toFixed(1);
}
