"""The fader: slow, causal, 6 dB at most, and the same in chunks of any size."""

from dataclasses import replace

import numpy as np
import pytest

from gigmate.codec.base import CodecSpec
from gigmate.fader import USUAL_STEM_DB, Fader, Mono, extremes_db, ride
from gigmate.music.instruments import INSTRUMENTS

HOP, RATE, LATE = 480, 50, 720
SPEC = CodecSpec("any", HOP * RATE, 1, HOP, 4, 64, "", latency_samples=LATE)
AT_ONCE = replace(SPEC, latency_samples=0)
"""A codec that isn't late: frames of the stream are frames of the stem."""


def noise(seconds: float, level_db: float, seed: int = 0) -> Mono:
    """[N] at just that level in every frame."""
    frames = np.random.default_rng(seed).normal(size=(round(seconds * RATE), HOP))
    frames *= 10 ** (level_db / 20) / np.sqrt(np.square(frames).mean(axis=1, keepdims=True))
    return frames.astype(np.float32).reshape(-1)


def off_usual(seconds: float, off_db: float, instrument: str = "keys") -> Mono:
    return noise(seconds, USUAL_STEM_DB[instrument] + off_db)


def end_db(gains: Mono) -> float:
    return float(20 * np.log10(gains[-1]))


SONG = np.concatenate([off_usual(3, 5), np.zeros(HOP * 70, np.float32), off_usual(4, -8), off_usual(2, 3)])


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_chunks_of_any_size_get_the_gains_of_the_whole(size: int) -> None:
    """Whatever the stream holds before the stem begins."""
    stream = np.concatenate([noise(1, 0)[:LATE], SONG])
    stream = stream[: len(stream) // HOP * HOP]
    fader, step = Fader(SPEC, "keys"), size * HOP
    parts = [fader.ride(stream[start : start + step]) for start in range(0, len(stream), step)]
    whole = ride(SONG, SPEC, "keys")
    assert np.array_equal(np.concatenate(parts)[LATE:], whole[: len(stream) - LATE])
    assert np.ptp(whole) > 0.3


def test_a_frame_changes_no_gain_before_it() -> None:
    other = np.concatenate([SONG[: 100 * HOP], noise(12, -10)])[: len(SONG)]
    one, two = ride(SONG, AT_ONCE, "keys"), ride(other, AT_ONCE, "keys")
    assert np.array_equal(one[: 100 * HOP], two[: 100 * HOP])
    assert one[101 * HOP - 1] != two[101 * HOP - 1]


def test_the_mean_begins_at_the_usual_level_and_forgets_after_ten_seconds() -> None:
    """The usual level counts as two seconds of sound; up to ten in all nothing is forgotten, then exponentially."""
    usual, gains = 10 ** (USUAL_STEM_DB["bass"] / 10), ride(off_usual(30, -3, "bass"), AT_ONCE, "bass")
    for second in (1, 5, 8, 20, 30):
        prior = 2 / (second + 2) if second <= 8 else 0.2 * (1 - 1 / 500) ** (50 * (second - 8))
        measured = usual * (prior + (1 - prior) * 10**-0.3)
        assert gains[second * 50 * HOP - 1] == pytest.approx(np.sqrt(usual / measured), rel=1e-5)


@pytest.mark.parametrize("instrument", sorted(USUAL_STEM_DB))
def test_who_plays_at_the_usual_level_is_left_alone(instrument: str) -> None:
    assert ride(off_usual(20, 0, instrument), SPEC, instrument) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("off_db", [-4.0, 4.0])
def test_who_is_a_little_off_is_brought_to_the_usual_level(off_db: float) -> None:
    assert end_db(ride(off_usual(20, off_db), SPEC, "keys")) == pytest.approx(-off_db, abs=0.5)


@pytest.mark.parametrize("off_db", [-20.0, 20.0])
def test_six_decibels_are_the_most(off_db: float) -> None:
    gains = ride(off_usual(30, off_db), SPEC, "keys")
    assert max(map(abs, extremes_db(gains))) <= 6
    assert end_db(gains) == pytest.approx(-6 * np.sign(off_db), abs=1e-4)


@pytest.mark.parametrize("wanted_db", [-5.0, 5.0])
def test_a_song_can_want_a_player_louder_or_softer(wanted_db: float) -> None:
    stem = off_usual(20, 0)
    whole = ride(stem, SPEC, "keys", wanted_db=np.full(9, wanted_db, np.float32))  # and so on to the end
    assert end_db(whole) == pytest.approx(wanted_db, abs=0.5)
    later = ride(stem, SPEC, "keys", wanted_db=np.repeat(np.float32([0.0, wanted_db]), 500))
    before = 500 * HOP - SPEC.latency_samples
    assert later[:before] == pytest.approx(1.0, abs=0.01)
    assert end_db(later) == pytest.approx(wanted_db, abs=0.5)


@pytest.mark.parametrize("quiet", [np.zeros(HOP * 500, np.float32), noise(10, -71)], ids=["silence", "hiss"])
def test_silence_changes_nothing(quiet: Mono) -> None:
    fader, without = (Fader(AT_ONCE, "keys") for _ in range(2))
    before = fader.ride(SONG)
    assert (fader.ride(quiet) == before[-1]).all()
    without.ride(SONG)
    assert np.array_equal(fader.ride(SONG), without.ride(SONG))
    assert (ride(quiet, SPEC, "keys") == 1).all()


def test_gains_are_straight_lines_that_meet() -> None:
    """So that nothing clicks: over a frame, and from each to the next."""
    fader = Fader(AT_ONCE, "keys")
    frames = np.concatenate([fader.ride(part) for part in np.split(SONG, [HOP * 40])]).reshape(-1, HOP)
    ends = np.concatenate([[1.0], frames[:, -1]])
    line = ends[:-1, None] + np.diff(ends)[:, None] * np.arange(1, HOP + 1) / HOP
    assert frames == pytest.approx(line, abs=1e-6)
    assert np.abs(np.diff(ends)).max() > 0.01


def test_louder_moves_what_is_wanted() -> None:
    louder = ride(SONG * np.float32(10**0.25), SPEC, "keys", 5.0)
    assert louder == pytest.approx(ride(SONG, SPEC, "keys"), rel=1e-5)
    assert end_db(ride(off_usual(20, 0), SPEC, "keys", 5.0)) == pytest.approx(5.0, abs=0.7)


@pytest.mark.parametrize("instrument", sorted(set(INSTRUMENTS) - set(USUAL_STEM_DB)))
def test_who_has_no_usual_level_has_no_fader(instrument: str) -> None:
    assert (ride(SONG, SPEC, instrument, 5.0) == 1).all()


def test_another_player_is_taken_up_where_the_gain_is_and_nothing_is_known_of_it() -> None:
    fader, fresh = Fader(AT_ONCE, "keys"), Fader(AT_ONCE, "drums")
    before = fader.ride(off_usual(20, -4))[-1]
    fader.take_up("drums")
    gains, anew = (hand.ride(off_usual(1, -4, "drums")) for hand in (fader, fresh))
    assert gains[0] == pytest.approx(before, abs=0.002)
    assert gains[HOP - 1 :] == pytest.approx(anew[HOP - 1 :], rel=1e-6)
    fader.take_up("other")
    assert fader.ride(off_usual(1, -4))[HOP - 1 :] == pytest.approx(1.0, abs=0)


def test_what_is_no_number_is_not_heard() -> None:
    fader, without = (Fader(AT_ONCE, "keys") for _ in range(2))
    for bad in (np.nan, np.inf):
        assert (fader.ride(np.full(HOP, bad, np.float32)) == 1).all()
    assert np.array_equal(fader.ride(SONG), without.ride(SONG))


@pytest.mark.parametrize("stem", [np.zeros(HOP + 1, np.float32), np.zeros((1, HOP), np.float32)])
def test_parts_of_frames_are_refused(stem: Mono) -> None:
    with pytest.raises(ValueError, match="whole frames of 480"):
        Fader(SPEC, "keys").ride(stem)
