"""A session: which calls it owes, what they are made from, and where the stem lies."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from live_fakes import FACTS, HOP, LATENCY, PLAIN, Desk, FakeClock, counting, stem_of, tone

from gigmate.live.protocol import ProtocolError
from gigmate.live.scheduler import Schedule
from gigmate.live.session import LiveSession
from gigmate.music.grid import BeatGrid

L = -10  # of PLAIN
OPENING = FACTS.max_delay - L


def test_the_opening_makes_the_first_frames_before_any_mix() -> None:
    desk = Desk().work()
    assert len(desk.requests) == OPENING
    assert all(request.mix is None for request in desk.requests)
    assert len(stem_of(desk.out)) == -L * HOP - LATENCY


def test_every_mix_frame_owes_one_call_which_hears_it() -> None:
    desk = Desk().work().send(2.0)
    assert len(desk.requests) == OPENING + 100
    mixes = [request.mix for request in desk.requests[OPENING:]]
    heard = np.concatenate([mix for mix in mixes if mix is not None])
    assert np.array_equal(heard, tone(0, 48_000))
    assert all(mix is not None and len(mix) == HOP for mix in mixes)


@pytest.mark.parametrize("chunk_s", [0.005, 0.02, 0.0375, 0.08])
def test_calls_dont_depend_on_how_the_audio_is_cut(chunk_s: float) -> None:
    whole, cut = Desk().work().send(1.2), Desk(chunk_s=chunk_s).work().send(1.2)
    assert len(whole.requests) == len(cut.requests)
    for one, other in zip(whole.requests, cut.requests, strict=True):
        assert (one.mix is None) == (other.mix is None)
        assert one.mix is None or np.array_equal(one.mix, other.mix)  # pyright: ignore[reportArgumentType]
        assert np.array_equal(one.beats, other.beats)


def test_stem_samples_lie_where_their_index_says() -> None:
    desk = Desk().work().send(3.0)
    stem = stem_of(desk.out)
    assert len(stem) == (150 - L) * HOP - LATENCY
    assert np.array_equal(stem, counting(np.arange(len(stem))))


def test_a_frame_leaves_before_it_sounds() -> None:
    desk = Desk(step_s=0.008)
    start_s = desk.client_s = desk.work().clock.now_s
    desk.send(3.0)
    ahead_s = [
        audio.sample_index / 24_000 - (at_s - start_s)
        for audio, at_s in zip(desk.out, desk.out_s, strict=True)
        if at_s > start_s
    ]
    # L frames, less the frame that is heard, the codec's latency and the step
    assert min(ahead_s) == pytest.approx(-L * 0.02 - 0.02 - LATENCY / 24_000 - 0.008, abs=0.001)


def test_the_grid_is_that_of_the_frame_which_begins() -> None:
    desk = Desk(replace(PLAIN, bpm=90.0)).work().send(1.0)
    grid = BeatGrid.from_tempo(90, 4, 10)
    expected = grid.features(len(desk.requests), 50)
    beats = np.stack([request.beats for request in desk.requests], axis=1)
    assert beats == pytest.approx(expected, abs=1e-5)


def test_without_a_grid_the_features_are_zeros() -> None:
    desk = Desk(replace(PLAIN, beats="tap")).work()
    assert not any(request.beats.any() for request in desk.requests)
    for sample in (0, 12_000, 24_000, 36_000):
        desk.session.tap(sample)
    desk.send(0.1)
    assert desk.requests[-1].beats.any()


@pytest.mark.parametrize("lookahead_ms", [-100.0, -400.0])
def test_another_lookahead_counts_from_the_next_call_without_a_gap(lookahead_ms: float) -> None:
    desk = Desk().work().send(1.0)
    desk.session.turn({"lookahead_ms": lookahead_ms})
    desk.send(2.0)
    lag = round(-lookahead_ms / 20)
    assert len(desk.requests) == 150 + lag + FACTS.max_delay
    assert desk.requests[-1].lookahead_frames == -lag
    stem = stem_of(desk.out)
    assert np.array_equal(stem, counting(np.arange(len(stem))))
    assert desk.session.num_dropped == 0
    heard = np.concatenate([request.mix for request in desk.requests if request.mix is not None])
    assert np.array_equal(heard, tone(0, 72_000)), "no mix frame is lost or heard twice"


def test_a_whole_bars_delay_hears_the_mix_at_once_and_plays_far_ahead() -> None:
    desk = Desk().work()
    desk.session.set_schedule(Schedule(-5, 2, "bars", 1, 20))
    for _ in range(50):
        desk.wait(0.02)
        desk.push(tone(desk.index, HOP))
        while (request := desk.session.next_request()) is not None:
            desk.session.take(desk.engine.step({desk.slot: request})[desk.slot])
    assert len(desk.requests) == 50 + 25 + 3
    assert desk.requests[-1].lookahead_frames == -5
    assert desk.requests[-1].mix is not None


def test_controls_count_from_the_next_call_on() -> None:
    desk = Desk().work().send(0.2)
    desk.session.turn({"is_laid_out": True, "is_solo": True, "temperature": 0.5})
    assert desk.session.slot_settings.temperature == 0.5
    before = len(desk.requests)
    desk.send(0.4)
    asked = desk.requests
    assert not any(request.is_laid_out or not request.hears_mix for request in asked[:before])
    assert all(request.is_laid_out and not request.hears_mix for request in asked[before:])
    flags = [audio.is_laid_out for audio in desk.out]
    # the delay pattern and the codec's latency still hold notes that were begun
    assert flags.index(True) >= 10 + 10 - 2 + 3
    assert all(flags[flags.index(True) :])


def test_a_lost_message_is_silence_and_nothing_moves() -> None:
    desk = Desk().work().send(1.0)
    desk.seq, desk.index = desk.seq + 5, desk.index + 5 * HOP
    desk.wait(0.1)
    desk.send(1.0)
    stem = stem_of(desk.out)
    assert np.array_equal(stem, counting(np.arange(len(stem))))
    heard = np.concatenate([request.mix for request in desk.requests if request.mix is not None])
    assert not heard[24_000:26_400].any()
    assert np.array_equal(heard[26_400:], tone(26_400, 24_000))


def test_after_a_long_gap_the_stem_goes_on_from_the_present() -> None:
    desk = Desk().work().send(1.0)
    num_calls = len(desk.requests)
    desk.session.resume()
    desk.seq, desk.index = 0, desk.index + 8 * 24_000
    desk.wait(8.0)
    desk.send(1.0)
    assert len(desk.requests) - num_calls <= 52
    assert desk.session.num_dropped >= 390
    assert sum(audio.is_after_gap for audio in desk.out) == 1
    stem = stem_of(desk.out)
    missing = np.flatnonzero(np.isnan(stem))
    assert len(stem) == (500 - L) * HOP - LATENCY
    assert missing.min() == (50 - L) * HOP - LATENCY
    heard = np.concatenate([request.mix for request in desk.requests if request.mix is not None])
    assert len(heard) == 10 * 24_000, "what sounded in the gap is heard as silence"


@pytest.mark.parametrize("speed", [2.0, 10.0])
def test_audio_faster_than_real_time_is_dropped_and_then_refused(speed: float) -> None:
    desk = Desk().work()
    with pytest.raises(ProtocolError, match="faster than real time") as caught:
        desk.send(60.0, speed=speed)
    assert caught.value.close_code == 1008
    passed_s = desk.clock.now_s - 100.0
    assert len(desk.requests) <= OPENING + passed_s * 50 * 1.01 + 52, "the engine never plays faster than real time"
    assert desk.session.num_dropped > 0


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_clock_that_drifts_is_no_fault(ppm: int) -> None:
    desk = Desk(chunk_s=0.08).work().send(60.0, np.zeros(60 * 24_000, np.float32), speed=1 + ppm * 1e-6)
    assert desk.session.num_dropped == 0
    assert len(desk.requests) == OPENING + 60 * 50


def test_half_the_speed_is_half_the_calls() -> None:
    desk = Desk().work().send(1.0, speed=0.5)
    assert len(desk.requests) == OPENING + 50
    assert desk.session.num_dropped == 0


def test_an_engine_that_falls_behind_leaves_frames_out_and_stays_in_the_present() -> None:
    desk = Desk(step_s=0.05).work()
    start_s = desk.clock.now_s
    for _ in range(400):
        while desk.clock.now_s < start_s + (desk.index + HOP) / 24_000:
            desk.clock.now_s += 0.001
        while start_s + (desk.index + HOP) / 24_000 <= desk.clock.now_s:  # what came while the engine worked
            desk.push(tone(desk.index, HOP))
        desk.session.review()
        if (request := desk.session.next_request()) is not None:
            desk.session.take(desk.engine.step({desk.slot: request})[desk.slot], step_s=0.05)
    assert desk.session.num_dropped > 100
    assert desk.session.calls.num_owed <= 28


def test_what_the_model_makes_of_nothing_is_never_noise() -> None:
    desk = Desk()
    desk.engine.make = lambda index: np.full(len(index), np.nan, np.float32)
    desk.work().send(0.2)
    assert desk.session.num_faults > 0
    assert not stem_of(desk.out).any()


def test_the_lookahead_follows_the_round_trip() -> None:
    desk = Desk(replace(PLAIN, lookahead_ms=None), step_s=0.004).work().send(3.0)
    calm = desk.session.schedule
    assert calm.mode == "ahead"
    for _ in range(10):
        desk.session.meter.round_trip(0.25, desk.clock.now_s)
    changed_s = desk.clock.now_s
    desk.send(0.3)
    late = desk.session.schedule
    assert late.lag_frames >= 0.25 * 50 + calm.lag_frames - 3
    assert desk.clock.now_s - changed_s < 4.0, "two bars"
    for _ in range(160):
        desk.session.meter.round_trip(0.02, desk.clock.now_s)
        desk.send(0.5)
    assert desk.session.schedule.lag_frames <= calm.lag_frames + 1
    stem = stem_of(desk.out)
    assert not np.isnan(stem).any(), "a change of the lookahead leaves no gap"


def test_a_long_device_delay_needs_whole_bars() -> None:
    desk = Desk(replace(PLAIN, lookahead_ms=None, device_delay_ms=1500.0, bpm=120.0)).work().send(0.5)
    schedule = desk.session.schedule
    assert (schedule.mode, schedule.bars, schedule.delay_frames) == ("bars", 1, 100)
    assert schedule.lookahead_frames == -1
    assert "bars" in schedule.mode


def test_other_rates_give_the_same_frames_and_times() -> None:
    settings = replace(PLAIN, sample_rate=48_000)
    desk = Desk(settings).work().send(1.0, np.zeros(48_000, np.float32))
    assert len(desk.requests) == OPENING + 50
    assert len(stem_of(desk.out)) == pytest.approx(2 * ((50 - L) * HOP - LATENCY), abs=40)


def test_a_rate_without_whole_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't whole"):
        LiveSession(replace(PLAIN, sample_rate=11_025), FACTS, FakeClock())


def test_sessions_need_no_model() -> None:
    check = "import sys, gigmate.live.host, gigmate.live.replay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
