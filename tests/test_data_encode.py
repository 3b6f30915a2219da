from dataclasses import replace

import numpy as np
import pytest
import torch
from data_fakes import HOP, RATE, SPEC, FakeCodec, FakeSource, K, fake_encoder

from gigmate.codec.features import MixFeatures
from gigmate.data.encode import AudioEncoder, TokenEncoder, active_frames
from gigmate.data.song import SongAudio, conform
from gigmate.errors import InputError
from gigmate.music.chords import Chord, frame_harmony
from gigmate.music.note_codes import note_codes
from gigmate.pitch import NO_ROOT, UNKNOWN_NOTES
from gigmate.stopwatch import Stopwatch

UNKNOWN = SongAudio({}, None, "group")
"""A song of which nothing but its stems is known."""


def stems_of(number: int = 0) -> dict[str, np.ndarray]:
    source = FakeSource(seconds=2.005)  # 100.25 frames
    return conform(source.load(source.entries()[::-1][number], RATE).stems, RATE)


def test_records_hold_codes_of_stems_and_mix_power_and_beats() -> None:
    source = FakeSource(seconds=2.005)
    song = replace(source.load(source.entries()[-1], RATE), chords=[Chord(0.5, 1.0, 9, (9, 0, 4))])
    stems = stems_of()

    records = fake_encoder().encode(stems, song, Stopwatch())

    assert list(stems) == ["drums", "bass", "keys"]
    assert records.shape == (101,)
    assert records["codes"].shape == (101, 4, K)
    waves = [*stems.values(), sum(stems.values())]
    for i, wave in enumerate(waves):
        codes = FakeCodec().encode(torch.from_numpy(np.asarray(wave, np.float32))[None, None])[0]
        assert np.array_equal(records["codes"][:, i].T, codes.numpy())
    power = MixFeatures(RATE, HOP).analyse(torch.from_numpy(stems["bass"])[None, None])[0].numpy()
    np.testing.assert_allclose(records["power"][:, 1].T, power, rtol=1e-3, atol=1e-7)  # float16
    assert song.grid is not None
    assert np.array_equal(records["beats"].T, song.grid.features(101, SPEC.frame_rate))
    roots, tones = frame_harmony(song.chords, 101, SPEC.frame_rate)
    assert np.array_equal(records["root"], roots)
    assert np.array_equal(records["tones"], tones)


def test_no_grid_is_zeros() -> None:
    records = fake_encoder().encode(stems_of(), UNKNOWN, Stopwatch())
    assert not records["beats"].any()
    assert not records["tones"].any()
    assert (records["root"] == NO_ROOT).all()
    assert (records["notes"] == UNKNOWN_NOTES).all()


def test_notes_stand_beside_the_codes_and_the_band_is_written_as_its_drums() -> None:
    notes = {"drums": np.array([[0.5, 0.6, 36.0]]), "bass": np.array([[1.0, 1.5, 40.0]])}
    records = fake_encoder().encode(stems_of(), replace(UNKNOWN, notes=notes), Stopwatch())
    drums, bass, keys, band = records["notes"].T
    for column, instrument in ((drums, "drums"), (bass, "bass"), (band, "drums")):
        assert np.array_equal(column, note_codes(notes[instrument], instrument, 101, SPEC.frame_rate))
    assert (keys == UNKNOWN_NOTES).all()


def test_audio_records_are_the_samples() -> None:
    stems = stems_of()
    records = AudioEncoder().encode(stems, UNKNOWN, Stopwatch())
    waves = np.stack(list(stems.values()), axis=1)
    kept = records["stems"].reshape(-1, len(stems))
    assert np.abs(kept[: len(waves)] / 32767 - waves).max() <= 0.5 / 32767 + 1e-7
    assert not kept[len(waves) :].any()
    assert waves.any()


def test_audio_records_hold_the_notes_of_their_frames() -> None:
    notes = {"bass": np.array([[1.0, 1.5, 40.0]])}
    records = AudioEncoder().encode(stems_of(), replace(UNKNOWN, notes=notes), Stopwatch())
    drums, bass, keys = records["notes"].T
    assert np.array_equal(bass, note_codes(notes["bass"], "bass", len(records), AudioEncoder.recipe.frame_rate))
    assert (drums == UNKNOWN_NOTES).all()
    assert (keys == UNKNOWN_NOTES).all()


def test_active_frames_equal_the_obvious_loop() -> None:
    rng = np.random.default_rng(0)
    wave = (rng.standard_normal(1234) * (rng.random(1234) < 0.01)).astype(np.float32)
    hop, hold = 10, 3
    loud = [np.mean(wave[i : i + hop] ** 2) > 1e-5 for i in range(0, 1230, hop)] + [
        np.sum(wave[1230:] ** 2) / hop > 1e-5
    ]
    expected = [any(loud[max(0, i - hold) : i + hold + 1]) for i in range(len(loud))]
    assert 10 < sum(expected) < len(expected)  # both happen

    assert active_frames(wave, hop, hold).tolist() == expected


def test_codes_must_fit_the_shards() -> None:
    codec = FakeCodec()
    codec.spec = type(SPEC)("big", RATE, 1, HOP, 1, 40_000, "f")
    with pytest.raises(ValueError, match="40000 codes"):
        TokenEncoder(codec)  # pyright: ignore[reportArgumentType]


def test_conform_pads_orders_drops_silence_and_keeps_the_balance() -> None:
    time = np.arange(RATE * 2) / RATE
    loud = np.sin(2 * np.pi * 100 * time).astype(np.float32)
    stems = conform({"keys": loud, "lead": np.zeros(9), "drums": 0.5 * loud[:-100], "bass": loud}, RATE)

    assert list(stems) == ["drums", "bass", "keys"]
    assert {len(wave) for wave in stems.values()} == {RATE * 2}
    assert np.abs(sum(stems.values())).max() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(stems["bass"]).max() == pytest.approx(2 * np.abs(stems["drums"]).max(), rel=1e-4)


@pytest.mark.parametrize(
    ("wave", "code"),
    [
        (np.zeros(RATE * 2), "silent"),
        (np.zeros(0), "silent"),
        (np.ones(RATE // 2), "too_short"),
        (np.full(RATE * 2, np.nan), "non_finite"),
    ],
)
def test_what_cannot_be_used_is_said(wave: np.ndarray, code: str) -> None:
    with pytest.raises(InputError, match=f"GM-{code}"):
        conform({"drums": wave.astype(np.float32)}, RATE)


@pytest.mark.parametrize("name", ["all", "kazoo"])
def test_sources_name_instruments_only(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        conform({name: np.ones(RATE * 2, np.float32)}, RATE)
