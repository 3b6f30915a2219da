"""Laws of the band's sound: stems of one length and level that say what notes and chords say, the same anywhere."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import mir_eval
import numpy as np
import pytest

from gigmate.evaluation.metrics import Mono, chroma, onset_times_s
from gigmate.music.band import PLAYERS, Song, compose, render_song

RATE = 24_000
SEEDS = (1, 3, 4, 5, 7, 9, 10, 13)  # five drum kits' worth of styles, among them a waltz, swing and reggae
Rendered = list[tuple[Song, dict[str, Mono]]]

PRINT_DIGEST = """
import hashlib
from gigmate.music.band import compose, render_song
song = compose(7, 6.0)
stems = render_song(song)
print(hashlib.sha256(repr((song.sections, song.chords, song.notes)).encode()).hexdigest())
print(hashlib.sha256(b"".join(name.encode() + stem.tobytes() for name, stem in stems.items())).hexdigest())
"""


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    songs = [compose(seed, 8.0) for seed in SEEDS]
    return [(song, render_song(song, RATE)) for song in songs]


def assert_in_order(song: Song, stems: dict[str, Mono], sample_rate: int) -> None:
    """What holds for every rendering."""
    assert tuple(stems) == PLAYERS
    for player, stem in stems.items():
        assert stem.dtype == np.float32
        assert stem.shape == (round(song.duration_s * sample_rate),)
        assert np.isfinite(stem).all()
        assert bool(stem.any()) == bool(song.notes[player])
        assert np.abs(stem).max() <= 0.9
        if song.notes[player]:
            assert np.abs(stem).max() > 0.01
    assert 0.85 < max(np.abs(sum(stems.values())).max(), *(np.abs(stem).max() for stem in stems.values())) <= 0.9
    assert np.abs(sum(stems.values())).max() <= 0.9


def drum_f1(song: Song, stem: Mono, sample_rate: int) -> float:
    """F1 of what is heard against the notes within 50 ms; ghost notes may be heard but needn't."""
    all_s = np.array([note.onset_s for note in song.notes["drums"]])
    loud_s = np.unique([note.onset_s for note in song.notes["drums"] if note.velocity >= 50])
    loud_s = loud_s[np.diff(loud_s, prepend=-1.0) > 0.05]  # drums struck together
    heard_s = onset_times_s(stem, sample_rate)
    recall = mir_eval.onset.f_measure(loud_s, heard_s, window=0.05)[2]
    precision = (np.abs(heard_s[:, None] - all_s).min(1) <= 0.05).mean()
    return 2 * precision * recall / (precision + recall)


def chord_share(song: Song, stem: Mono, sample_rate: int) -> tuple[float, float]:
    """Share of the chroma on the notes of the chords, and on those a semitone above."""
    energy = chroma(stem, sample_rate)
    times_s = np.arange(energy.shape[1]) / 20
    own = beside = total = 0.0
    for chord in song.chords:
        heard = energy[:, (times_s > chord.start_s + 0.25) & (times_s < chord.end_s - 0.25)].sum(1)
        own += heard[list(chord.pitch_classes)].sum()
        beside += heard[[(pc + 1) % 12 for pc in chord.pitch_classes]].sum()
        total += heard.sum()
    return own / total, beside / total


def test_a_seed_gives_the_same_bytes_in_other_processes():
    song = compose(7, 6.0)
    stems = render_song(song)
    here = (
        hashlib.sha256(repr((song.sections, song.chords, song.notes)).encode()).hexdigest(),
        hashlib.sha256(b"".join(name.encode() + stem.tobytes() for name, stem in stems.items())).hexdigest(),
    )
    child = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        env={**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert tuple(child.stdout.split()) == here


def test_stems_are_whole_and_under_the_peak(rendered: Rendered):
    for song, stems in rendered:
        assert_in_order(song, stems, RATE)
        assert max(np.abs(stem[-2:]).max() for stem in stems.values()) < 1e-2  # faded out


def test_other_seeds_sound_different(rendered: Rendered):
    assert len({stem.tobytes() for _, stems in rendered for stem in stems.values()}) == len(PLAYERS) * len(SEEDS)


@pytest.mark.parametrize("seed", [1, 2, 3, 6])
def test_the_lowest_sample_rate_has_every_stem(seed: int):
    # cymbals and shakers lie above the Nyquist frequency there
    song = compose(seed, 4.0)
    assert_in_order(song, render_song(song, 8_000), 8_000)


@pytest.mark.parametrize("sample_rate", [11_025, 44_100, 96_000])
def test_other_sample_rates_have_the_same_music(sample_rate: int):
    song = compose(1, 4.03)
    stems = render_song(song, sample_rate)
    assert_in_order(song, stems, sample_rate)
    assert drum_f1(song, stems["drums"], sample_rate) >= 0.8
    assert chord_share(song, stems["keys"], sample_rate)[0] > 0.6


def test_the_peak_and_length_hold_for_the_shortest_songs():
    for seed in range(6):
        song = compose(seed, 4.0)
        assert_in_order(song, render_song(song, 16_000), 16_000)


def test_a_player_who_has_no_notes_is_silent_and_the_others_play_on(rendered: Rendered):
    song, stems = rendered[0]
    without = render_song(replace(song, notes={**song.notes, "drums": ()}), RATE)
    assert not without["drums"].any()
    for player in PLAYERS[1:]:
        gain = np.abs(without[player]).max() / np.abs(stems[player]).max()
        np.testing.assert_allclose(without[player], gain * stems[player], atol=1e-5)


def test_the_drums_sound_when_the_notes_say(rendered: Rendered):
    for song, stems in rendered:
        assert drum_f1(song, stems["drums"], RATE) >= 0.8


@pytest.mark.parametrize("player", ["keys", "guitar"])
def test_keys_and_guitar_sound_the_chords(rendered: Rendered, player: str):
    for song, stems in rendered:
        own, beside = chord_share(song, stems[player], RATE)
        assert own > 0.6  # 0.7..0.98; the rest are overtones: the third's fifth, the fifth's third
        assert own > 3 * beside


def test_the_bass_is_low_and_the_lead_is_high(rendered: Rendered):
    for _, stems in rendered:
        power = {p: np.square(np.abs(np.fft.rfft(stems[p]))) for p in PLAYERS}
        hz = np.fft.rfftfreq(len(stems["bass"]), 1 / RATE)
        centroid = {p: (hz * power[p]).sum() / power[p].sum() for p in PLAYERS}
        assert centroid["bass"] < min(centroid["keys"], centroid["guitar"], 0.6 * centroid["lead"])
        assert power["lead"][hz < 200].sum() < 0.1 * power["lead"].sum()


@pytest.mark.parametrize("sample_rate", [0, 7_999, 96_001])
def test_sample_rates_out_of_range_are_refused(rendered: Rendered, sample_rate: int):
    with pytest.raises(ValueError, match=f"sample_rate is {sample_rate}, must be in 8000..96000"):
        render_song(rendered[0][0], sample_rate)
