"""What a session is made of: order and gaps, resampling, level, and the stem's place on the sample clock."""

import numpy as np
import pytest
from live_fakes import HOP, LATENCY, counting, stem_of, tone

from gigmate.audio import resample
from gigmate.live.assembly import Intake, MixFrames
from gigmate.live.clock import ArrivalClock, FrameClock
from gigmate.live.gain import HEARD_DB, AutoGain
from gigmate.live.latency import Window
from gigmate.live.protocol import ProtocolError
from gigmate.live.resampler import Resampler
from gigmate.live.stem_out import StemOut
from gigmate.performance import HEARD_DB as TRAINED_DB

RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)


def take(intake: Intake, seq: int, index: int, pcm: np.ndarray) -> np.ndarray:
    return np.concatenate([*intake.push(seq, index, pcm), np.zeros(0, np.float32)])


def test_messages_in_order_come_out_as_they_are() -> None:
    intake, wave = Intake(24_000, is_pcm16=True), tone(0, 1000)
    parts = [take(intake, i, i * 100, wave[i * 100 : (i + 1) * 100]) for i in range(10)]
    assert np.array_equal(np.concatenate(parts), wave)
    assert intake.counts.num_gaps == intake.counts.num_repeated == 0


def test_a_repeated_message_is_dropped_and_a_lost_one_is_silence() -> None:
    intake, wave = Intake(24_000, is_pcm16=True), tone(0, 400)
    take(intake, 0, 0, wave[:100])
    assert len(take(intake, 0, 0, wave[:100])) == 0
    gap = take(intake, 3, 300, wave[300:])
    assert np.array_equal(gap, np.concatenate([np.zeros(200, np.float32), wave[300:]]))
    counts = intake.counts
    assert (counts.num_repeated, counts.num_gaps, counts.gap_samples) == (1, 1, 200)


@pytest.mark.parametrize(("seq", "index"), [(4, 500), (0, 0), (6, 1 << 63), (6, 24_000 * 6), (6, -24_000 * 6)])
def test_time_that_runs_backwards_or_leaps_ends_the_session(seq: int, index: int) -> None:
    intake = Intake(24_000, is_pcm16=True)
    take(intake, 5, 0, tone(0, 100))
    with pytest.raises(ProtocolError, match=r"sequence|sample index") as caught:
        take(intake, seq, index, tone(0, 100))
    assert caught.value.close_code == 4410


def test_after_a_cut_a_new_sequence_and_a_longer_gap_are_taken() -> None:
    intake = Intake(24_000, is_pcm16=True)
    take(intake, 700, 0, tone(0, 100))
    intake.resume()
    assert len(take(intake, 0, 20 * 24_000, tone(0, 100))) == 20 * 24_000
    with pytest.raises(ProtocolError, match="expected"):
        take(intake, 1, 40 * 24_000, tone(0, 100))


def test_what_was_heard_already_is_cut_off() -> None:
    intake = Intake(24_000, is_pcm16=True)
    take(intake, 0, 0, tone(0, 4800))
    assert len(take(intake, 1, 2400, tone(0, 4800))) == 2400
    assert len(take(intake, 2, 2400, tone(0, 4800))) == 0
    assert intake.counts.clamped_samples == 7200


@pytest.mark.parametrize("ppm", [-200, 200])
def test_an_hour_of_drift_is_followed_within_a_frame(ppm: int) -> None:
    """The client's stamps run by another clock than its samples; what comes out keeps to the stamps."""
    intake, part = Intake(24_000, is_pcm16=True), tone(0, 24_000)
    worst = 0
    for seq in range(3600):
        index = round(seq * 24_000 * (1 + ppm * 1e-6))
        worst = max(worst, abs(index - intake.num_samples))
        for _ in intake.push(seq, index, part):
            pass
    assert worst <= 10
    assert intake.counts.num_gaps == 0
    assert intake.counts.stretched_samples == pytest.approx(3600 * 24_000 * 200e-6, rel=0.01)


def test_what_is_no_audio_is_silenced_and_at_last_refused() -> None:
    intake, bad = Intake(24_000, is_pcm16=False), tone(0, 10)
    bad[[2, 5, 7]] = np.nan, np.inf, 1e30
    heard = take(intake, 0, 0, bad)
    assert np.array_equal(heard[[2, 5, 7]], np.zeros(3))
    assert np.array_equal(np.delete(heard, [2, 5, 7]), np.delete(bad, [2, 5, 7]))
    for seq in range(1, 99):
        take(intake, seq, seq * 10, bad)
    with pytest.raises(ProtocolError, match="no audio") as caught:
        take(intake, 99, 990, bad)
    assert caught.value.close_code == 1007


@pytest.mark.parametrize("rate", RATES)
def test_frames_are_the_same_however_the_samples_come(rate: int) -> None:
    wave = np.random.default_rng(0).normal(size=rate).astype(np.float32)
    clock = FrameClock(rate, 24_000, HOP)
    whole = np.stack(MixFrames(clock).push(wave))
    assert whole.shape == (50, HOP)
    frames, ragged = MixFrames(clock), []
    for part in np.split(wave, np.cumsum(np.random.default_rng(1).integers(1, 700, 20))):
        ragged += frames.push(part)
    assert np.array_equal(np.stack(ragged), whole)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(rate, 24_000) for rate in RATES] + [(24_000, r) for r in RATES])
def test_a_tone_is_the_same_tone_at_the_other_rate(from_rate: int, to_rate: int) -> None:
    resampler = Resampler(from_rate, to_rate)
    wave = np.sin(2 * np.pi * 997 * np.arange(from_rate) / from_rate).astype(np.float32)
    made = np.concatenate([resampler.push(part) for part in np.array_split(wave, 100)])
    expected = np.sin(2 * np.pi * 997 * np.arange(len(made)) / to_rate)
    assert abs(len(made) - to_rate) <= 0.002 * to_rate + 160
    assert np.abs(made - expected)[100:].max() < 1e-3  # 60 dB; the first samples follow silence


def test_what_lies_above_the_lower_rate_is_damped() -> None:
    wave = np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000).astype(np.float32)
    made = Resampler(48_000, 24_000).push(wave)[100:]
    assert 20 * np.log10(np.sqrt(np.mean(np.square(made)))) < -60
    reference = resample(wave[None], 48_000, 24_000)[0, 100:-100]
    assert 20 * np.log10(np.sqrt(np.mean(np.square(reference)))) < -60  # as where time doesn't count


def test_the_delayed_resampler_gives_all_at_once_but_late() -> None:
    plain, late = Resampler(48_000, 24_000), Resampler(48_000, 24_000, is_delayed=True)
    wave = np.random.default_rng(0).normal(size=9600).astype(np.float32)
    made = late.push(wave)
    assert len(made) == 4800
    lag = late.reach_samples // 2
    assert made[lag:] == pytest.approx(plain.push(wave)[: 4800 - lag], abs=1e-6)


def test_a_rate_that_holds_no_whole_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't whole at 11025 Hz"):
        FrameClock(11_025, 24_000, HOP)


@pytest.mark.parametrize("chunk_frames", [1, 2, 3, 4])
def test_stem_samples_lie_where_their_index_says(chunk_frames: int) -> None:
    clock = FrameClock(24_000, 24_000, HOP)
    stem, out = StemOut(clock, LATENCY), []
    for frame in range(40):
        start = frame * HOP - LATENCY
        out += stem.push(frame, counting(np.arange(start, start + HOP)), chunk_frames=chunk_frames)
    joined = stem_of(out)
    assert np.array_equal(joined, counting(np.arange(len(joined))))
    assert [audio.seq for audio in out] == list(range(len(out)))
    assert max(len(audio.wave) for audio in out) <= chunk_frames * HOP
    assert not any(audio.is_after_gap for audio in out)


@pytest.mark.parametrize("rate", RATES)
def test_stem_frames_left_out_leave_a_gap_and_the_rest_in_place(rate: int) -> None:
    clock = FrameClock(rate, 24_000, HOP)
    stem, out = StemOut(clock, LATENCY), []
    for frame in [*range(30), *range(75, 120)]:
        index = np.arange(frame * HOP - LATENCY, (frame + 1) * HOP - LATENCY)
        out += stem.push(frame, np.sin(2 * np.pi * 500 * index / 24_000).astype(np.float32), chunk_frames=2)
    joined = stem_of(out)
    missing = np.isnan(joined)
    seconds = missing.sum() / rate
    assert seconds == pytest.approx(45 * 0.02, abs=0.008)
    expected = np.sin(2 * np.pi * 500 * np.arange(len(joined)) / rate)
    edge = np.convolve(missing, np.ones(201), "same") > 0
    assert np.abs(joined - expected)[~missing & ~edge][200:].max() < 1e-3
    assert [audio.is_after_gap for audio in out].count(True) == 1


def test_the_level_is_that_of_the_training() -> None:
    assert HEARD_DB == TRAINED_DB


@pytest.mark.parametrize("level_db", [-45.0, -18.0, -6.0])
def test_music_comes_to_the_level_it_was_learned_at_and_the_stem_back(level_db: float) -> None:
    gain, rng = AutoGain(0.02), np.random.default_rng(0)
    amplitude = 10 ** (level_db / 20)
    for _ in range(100):
        assert not gain.push(np.zeros(HOP, np.float32)).any()  # silence before the music isn't lifted
    mix = [amplitude * rng.normal(size=HOP).astype(np.float32) for _ in range(400)]
    levelled = [gain.push(frame) for frame in mix]
    heard_db = 10 * np.log10(np.mean(np.square(levelled[-100:])))
    assert heard_db == pytest.approx(HEARD_DB, abs=0.5)
    before = gain.gain
    for _ in range(200):
        gain.push(np.zeros(HOP, np.float32))
    assert gain.gain == before
    gain.undo(np.ones(HOP, np.float32))
    assert np.allclose(gain.undo(levelled[-1]), mix[-1], atol=1e-3 * amplitude)


def test_the_level_changes_slowly_and_without_a_step() -> None:
    gain, rng = AutoGain(0.02), np.random.default_rng(0)
    for _ in range(500):
        gain.push(0.1 * rng.normal(size=HOP).astype(np.float32))
    before = gain.gain
    loud = np.ones(HOP, np.float32)
    first = gain.push(loud)
    assert first[0] == pytest.approx(before, rel=1e-3)
    frames = [gain.push(loud) for _ in range(49)]
    assert -2.1 <= 20 * np.log10(gain.gain / before) <= -1.0
    assert np.abs(np.diff(np.concatenate(frames))).max() < 1e-3


def test_a_given_gain_stays() -> None:
    gain = AutoGain(0.02, 0.5)
    for _ in range(100):
        assert np.array_equal(gain.push(np.ones(4, np.float32)), np.full(4, 0.5, np.float32))
    assert np.array_equal(gain.undo(np.full(4, 0.5, np.float32)), np.ones(4, np.float32))


def test_a_click_at_the_start_doesnt_keep_the_music_soft() -> None:
    gain, rng = AutoGain(0.02), np.random.default_rng(0)
    gain.push(np.ones(HOP, np.float32))
    levelled = [gain.push(0.005 * rng.normal(size=HOP).astype(np.float32)) for _ in range(50 * 60)]
    assert 10 * np.log10(np.mean(np.square(levelled[-50:]))) == pytest.approx(HEARD_DB, abs=3)


def test_jitter_is_what_comes_later_than_the_earliest() -> None:
    clock, rng = ArrivalClock(24_000), np.random.default_rng(0)
    assert clock.sample_at(5.0) is None
    for i in range(1000):
        late_s = 0.2 if i == 700 else rng.uniform(0, 0.01)
        clock.arrived(480 * (i + 1), 50.0 + 0.02 * (i + 1) + 0.03 + late_s)
    assert clock.jitter_s(0.99) == pytest.approx(0.01, abs=0.001)
    assert clock.jitter_s(1.0) == pytest.approx(0.2, abs=0.001)
    assert clock.sample_at(50.03 + 10.0) == pytest.approx(240_000, abs=10)


def test_quantiles_are_of_the_last_seconds() -> None:
    window = Window(10.0)
    assert window.quantile(0.5) is None
    for i in range(100):
        window.add(float(i), float(i))
    assert (len(window), window.quantile(0.0), window.quantile(0.5), window.quantile(1.0)) == (11, 89, 94, 99)
    assert window.sum_quantile(1.0, 3) == 97 + 98 + 99
    assert window.share_at_least(98.0) == pytest.approx(2 / 11)
