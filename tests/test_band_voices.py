"""The band's voices one by one: in tune, on time, fading; the processing that they share; speed and reproducibility."""

import os
import subprocess
import sys

import numpy as np
import pytest
from machine import within

from gigmate.music.band import STYLES, compose, render_song
from gigmate.music.band.chance import stream
from gigmate.music.band.drums import DRUM_KEYS
from gigmate.music.band.dsp import add_room, band, partials, place_notes, room, smooth
from gigmate.music.band.song import Note
from gigmate.music.band.voice_drums import sound_drums
from gigmate.music.band.voice_keys import sound_keys
from gigmate.music.band.voice_lead import sound_lead
from gigmate.music.band.voice_strings import sound_bass, sound_guitar

RATE = 24000
VOICES = {
    "bass": (sound_bass, 33, sorted({tone for style in STYLES for tone in style.basses})),
    "keys": (sound_keys, 60, sorted({tone for style in STYLES for tone in style.keyboards})),
    "guitar": (sound_guitar, 57, sorted({tone for style in STYLES for tone in style.guitars})),
    "lead": (sound_lead, 72, sorted({tone for style in STYLES for tone in style.leads})),
}
DIGEST = """
import hashlib
from gigmate.music.band import compose, render_song
song = compose(11, 6.0)
sound = b"".join(stem.tobytes() for stem in render_song(song, 16000).values())
print(hashlib.sha256(repr((song.notes, song.chords)).encode() + sound).hexdigest())
"""


def test_same_bytes_with_any_number_of_threads() -> None:
    digests = set()
    for hash_seed, threads in (("0", "1"), ("12345", "2")):
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_song_is_made_much_faster_than_it_lasts() -> None:
    """How fast is a figure of `python -m experiments.bench`; here only that it isn't slow by mistake."""
    with within(3.0):
        render_song(compose(2, 30.0), RATE)


@pytest.mark.parametrize(("player", "tone"), [(p, tone) for p, (_, _, tones) in VOICES.items() for tone in tones])
def test_every_sound_is_in_tune(player: str, tone: str) -> None:
    sound, pitch, _ = VOICES[player]
    for semitones in (0, 7):
        note = Note(0.1, 1.2, pitch + semitones, 100)
        wave = sound([note], tone, stream(5, tone), 2 * RATE, RATE)
        assert np.abs(wave[: int(0.09 * RATE)]).max() < 1e-3 * np.abs(wave).max() + 1e-6
        hz = 440.0 * 2 ** ((note.pitch - 69) / 12)
        power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave))) ** 2
        freqs = np.fft.rfftfreq(8 * len(wave), 1 / RATE)
        near = np.abs(freqs / hz - 1) < 0.04
        cents = 1200 * np.log2(freqs[near][power[near].argmax()] / hz)
        assert abs(cents) < 15.0, (tone, cents)


@pytest.mark.parametrize("drum", sorted(DRUM_KEYS))
def test_every_drum_is_heard_and_fades(drum: str) -> None:
    for kit in sorted({kit for style in STYLES for kit in style.kits}):
        wave = sound_drums([Note(0.5, 0.1, DRUM_KEYS[drum], 110)], kit, stream(1, kit), 5 * RATE, RATE)
        assert not wave[: RATE // 2].any()
        begin = np.abs(wave[RATE // 2 : RATE]).max()
        assert begin > 0.02, kit
        assert np.abs(wave[4 * RATE :]).max() < 0.05 * begin, kit


def test_foot_closes_the_open_hat() -> None:
    opened = [Note(0.0, 0.1, 46, 110)]
    free = sound_drums(opened, "acoustic", stream(1, "hat"), RATE, RATE)
    closed = sound_drums([*opened, Note(0.1, 0.1, 44, 1)], "acoustic", stream(1, "hat"), RATE, RATE)
    tail = slice(RATE // 5, RATE)
    assert np.square(closed[tail]).sum() < 0.1 * np.square(free[tail]).sum()


def test_partials_are_decaying_sines() -> None:
    t = np.arange(1000) / RATE
    expected = 0.5 * np.exp(-3 * t) * np.sin(2 * np.pi * 440 * t) + 0.2 * np.exp(-9 * t) * np.sin(
        2 * np.pi * 990 * t + 1
    )
    got = partials([440.0, 990.0, 11500.0], [3.0, 9.0, 0.0], [0.5, 0.2, 1.0], 1000, RATE, [0.0, 1.0, 0.0])
    assert got == pytest.approx(expected, abs=1e-5)  # float32 sums; what is near the Nyquist frequency is left out


def test_notes_are_placed_to_the_sample_and_fade() -> None:
    notes = [Note(0.01, 0.02, 60, 100), Note(0.05, 0.01, 60, 100)]
    made = []

    def sound_of(pitch: int, layer: int, variant: int, num: int) -> np.ndarray:
        made.append((pitch, layer, variant, num))
        return np.ones(num, np.float32)

    track = place_notes(notes, sound_of, 1000, 10_000, release_s=0.01)
    assert made == [(60, 2, 0, 300)]  # made once, as long as the longest needs
    assert not track[:100].any()
    assert (track[100:300] == 1.0).all()
    assert (np.diff(track[300:400]) < 0).all()
    assert not track[400:500].any()
    assert (track[500:600] == 1.0).all()


def test_filters_room_and_smoothing() -> None:
    t = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 100 * t), np.sin(2 * np.pi * 5000 * t)
    assert (
        np.abs(band(low + high, RATE, high_hz=700.0)[RATE // 2 :] - band(low, RATE, high_hz=700.0)[RATE // 2 :]).max()
        < 0.03
    )
    assert (band(low, RATE, high_hz=20_000.0) == low.astype(np.float32)).all()
    response = room(stream(0, "room"), 0.4, RATE)
    assert np.square(response).sum() == pytest.approx(1.0, rel=1e-4)
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    echo = add_room(click, response, 0.5)
    assert echo.shape == click.shape
    assert np.abs(echo[:100]).max() < 1e-6
    assert echo[100] == pytest.approx(1.0, abs=1e-4)
    step = smooth(np.repeat([2.0, 3.0], 1000), 0.01, 10_000)
    assert step[:1000] == pytest.approx(2.0)
    assert step[1100] == pytest.approx(3 - np.exp(-1), abs=0.01)
