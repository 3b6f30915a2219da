"""`generate.py input=FOLDER`: songs of every kind side by side, each answered at its own rate and length."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_generate import Run, music, run  # noqa: F401 (a fixture)

from gigmate.offline import _RESULTS

SONGS = {
    "short.wav": ("WAV", "PCM_16", 8_000, 1, 2_401),
    "deep.wav": ("WAV", "PCM_24", 44_100, 2, 60_001),
    "long.wav": ("WAV", "FLOAT", 48_000, 2, 144_001),
    "mono.flac": ("FLAC", "PCM_16", 44_100, 1, 97_001),
    "vorbis.ogg": ("OGG", "VORBIS", 48_000, 2, 43_211),
    "slow.ogg": ("OGG", "VORBIS", 8_000, 1, 5_211),
    "opus.opus": ("OGG", "OPUS", 48_000, 1, 30_011),
    "layer.mp3": ("MP3", "MPEG_LAYER_III", 44_100, 2, 50_021),
    "telephone.mp3": ("MP3", "MPEG_LAYER_III", 8_000, 1, 12_021),
    "apple.aiff": ("AIFF", "PCM_24", 44_100, 1, 13_231),
}
"""Container, subtype, rate in Hz, channels, samples; .3 s to 3 s, none of them a whole number of frames."""


@pytest.mark.slow
def test_every_song_of_a_mixed_folder_is_answered_at_its_rate_to_the_sample(
    run: Run,  # noqa: F811
    tmp_path: Path,
):
    (tmp_path / "songs").mkdir()
    for name, (container, subtype, rate, channels, samples) in SONGS.items():
        wave = music(samples / rate, rate, channels)
        soundfile.write(tmp_path / "songs" / name, wave.T, rate, subtype, format=container)
    code, said, _ = run("input=songs", "out=out", "seed=1")
    assert code == 0, said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {Path(name).stem for name in SONGS}
    for name, (_, _, rate, channels, samples) in SONGS.items():
        folder = tmp_path / "out" / Path(name).stem
        assert {path.name for path in folder.iterdir()} == set(_RESULTS)
        for result in ("stem.wav", "mix.wav"):
            wave, found_rate = soundfile.read(folder / result, always_2d=True)
            assert (name, result, found_rate, wave.shape) == (name, result, rate, (samples, channels))
            assert np.isfinite(wave).all()
        report = json.loads((folder / "report.json").read_text())
        assert (report["song"], report["sample_rate"]) == (name, rate)
        assert report["seconds"] == pytest.approx(samples / rate)
        assert report["real_time_factor"] > 0
