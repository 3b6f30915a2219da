// Song and stem on one line of time: what was heard, and what the band has ready.

const SPAN_S = 6;
const NOW = 0.75; // of the width: to its left the past, to its right what the band has ready
const BLOCK_S = 0.02;

/** Draw the last seconds and the coming ones. `colours` are CSS colours by name. */
export function drawTimeline(canvas, band, colours) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, width, height);
  if (!band.history.length) {
    draw.fillStyle = colours.beat;
    draw.font = getComputedStyle(canvas).font;
    draw.textAlign = "center";
    draw.fillText("You and the band, once you start", width / 2, height / 2, width);
    return;
  }
  const rate = band.sampleRate;
  const now = band.now;
  const x = (index) => width * NOW + ((index - now) / rate / SPAN_S) * width;
  const [mixY, stemY, half] = [height * 0.27, height * 0.73, height * 0.2];
  drawBeats(draw, band, x, width, height, colours);
  const bar = (index, length, peak, y, colour, alpha) => {
    draw.globalAlpha = alpha;
    draw.fillStyle = colour;
    const tall = Math.max(1, half * Math.min(1, Math.sqrt(peak)));
    draw.fillRect(x(index), y - tall, Math.max(1, (length / rate / SPAN_S) * width - 0.5), 2 * tall);
  };
  const first = now - NOW * SPAN_S * rate;
  for (const { index, delay, mix, stem } of band.history) {
    if (index < first) continue;
    bar(index, rate * BLOCK_S, mix, mixY, colours.mix, 1);
    bar(index + delay, rate * BLOCK_S, stem, stemY, colours.stem, 1);
  }
  const played = band.block.index + (band.block.mix?.length ?? 0) + band.block.delay;
  for (const { index, length, peak } of band.sent) {
    if (index >= played) bar(index, length, peak, stemY, colours.stem, 0.4);
  }
  draw.globalAlpha = 1;
  draw.fillStyle = colours.now;
  draw.fillRect(Math.round(width * NOW), 0, 2, height);
}

function drawBeats(draw, band, x, width, height, colours) {
  const beat = band.beat;
  if (!beat) return;
  const step = (60 / beat.bpm) * band.sampleRate;
  for (let k = -24; k < 24; k += 1) {
    const at = x(beat.sample_index + k * step);
    if (at < 0 || at > width) continue;
    const inBar = (((beat.beat_in_bar + k) % beat.beats_per_bar) + beat.beats_per_bar) % beat.beats_per_bar;
    draw.globalAlpha = inBar === 0 ? 0.7 : 0.3;
    draw.fillStyle = colours.beat;
    draw.fillRect(Math.round(at), 0, 1, height);
  }
  draw.globalAlpha = 1;
}
