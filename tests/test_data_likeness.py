"""Recordings that stand in a data set twice: found whatever name, codec, level, length or rate, and nothing else."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_fakes import FakeCodec, FakeSource, audio_job, token_job
from numpy.typing import NDArray
from reporting import Report

from gigmate.audio import resample
from gigmate.codec.features import NUM_FEATURES
from gigmate.data import likeness
from gigmate.data.likeness import alike, print_of, print_of_power
from gigmate.data.make import Job, encoder_of
from gigmate.data.prepare import Policy, prepare_songs
from gigmate.data.sources import StemSource
from gigmate.data.store import read_manifest
from gigmate.music.band import compose, render_song

RATE, SECONDS = 24_000, 12.0
Mono = NDArray[np.float32]


def _write(path: Path, wave: Mono, rate: int = RATE) -> None:
    soundfile.write(path, wave, rate, subtype="PCM_16" if path.suffix == ".wav" else None)


def _trimmed(folder: Path, number: int, wave: Mono) -> None:
    start, stop = (round(part * RATE) for part in (0.21 + 0.37 * number, SECONDS - 0.8 - 0.13 * number))
    _write(folder / "keys.wav", 0.5 * wave[start:stop])


LEAKS: dict[str, Callable[[Path, int, Mono], None]] = {
    "renamed": lambda folder, _, wave: _write(folder / "other.wav", wave),
    "encoded": lambda folder, number, wave: _write(folder / ("other.ogg", "other.mp3")[number % 2], wave),
    "trimmed": _trimmed,
    "resampled": lambda folder, number, wave: _write(
        folder / "other.wav", resample(wave[None], RATE, rate := (11_025, 16_000, 44_100)[number % 3])[0], rate
    ),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty songs for training, and five copies of each kind that are to be kept from it."""
    folder = tmp_path_factory.mktemp("songs")
    for number, (kind, which) in enumerate(itertools.product(LEAKS, range(5))):
        stems = render_song(compose(3_000 + number, SECONDS), RATE)
        wave = np.sum(list(stems.values()), axis=0, dtype=np.float32)
        wave /= 1.1 * np.abs(wave).max()
        for name in ("song", "copy"):
            path = folder / f"{kind}-{which}-{name}"
            path.mkdir()
            (path / "meta.json").write_text(json.dumps({"bpm": 120, "split": "train" if name == "song" else "test"}))
        _write(folder / f"{kind}-{which}-song" / "other.wav", wave)
        LEAKS[kind](folder / f"{kind}-{which}-copy", which, wave)
    return folder


@pytest.mark.slow
def test_planted_leaks_are_found(planted: Path, tmp_path: Path, report: Report) -> None:
    job = Job(StemSource(str(planted)), str(tmp_path), "audio", "{}", "cpu")
    cards = prepare_songs(job, Policy(max_bad_fraction=0.6))

    lines = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert {line["code"] for line in lines} == {"duplicate", "near_duplicate"}
    num_found = {kind: sum(line["song_id"].startswith(kind) for line in lines) for kind in LEAKS}
    for kind, found in num_found.items():
        report(f"p10_leaks_found_{kind}", found, "of 5")
    assert (num_found["renamed"], num_found["encoded"]) == (5, 5)
    assert sum(num_found.values()) >= 18
    assert len(cards) == 40 - sum(num_found.values())  # and nothing else was set aside
    assert all(card.split == "test" for card in cards if "-copy-" in card.song_id)

    recipe, cards = read_manifest(tmp_path)
    prints = {card.song_id: print_of((tmp_path, recipe, card)) for card in cards}
    pairs = {(one, other) for one, other, _ in alike(prints, prints)}
    assert pairs == {(name, name) for name in prints}


def test_a_song_is_itself_at_any_lag_and_noise_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    song, other = (print_of_power(rng.gamma(1.0, 1e-3, (400, NUM_FEATURES)).astype(np.float32)) for _ in range(2))
    silence = print_of_power(np.zeros((400, NUM_FEATURES), np.float32))
    ours = {"whole": song, "part": song[90:290], "other": other, "silence": silence}
    monkeypatch.setattr(likeness, "_BLOCK_BYTES", 1)  # one after the other
    found = list(alike(ours, {"song": song, "silence": silence}))
    assert [(one, two) for one, two, _ in found] == [("whole", "song"), ("part", "song")]
    assert [score for _, _, score in found] == pytest.approx([1.0, 1.0], abs=0.1)
    assert not list(alike({"short": song[:30]}, {"song": song[31:]}))  # no lag at which they lie over each other
    assert not [*alike({}, {"song": song}), *alike({"song": song}, {})]


def test_prints_of_tokens_are_of_the_power_in_their_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gigmate.codec.catalog.load_codec", lambda config, device: FakeCodec())
    encoder_of.cache_clear()
    source = FakeSource(num_songs=3, seconds=12.0)
    prints = []
    for folder, job in (("tokens", token_job), ("audio", audio_job)):
        cards = prepare_songs(job(tmp_path / folder, source), Policy())
        recipe = read_manifest(tmp_path / folder)[0]
        prints.append({card.song_id: print_of((tmp_path / folder, recipe, card)) for card in cards})
    tokens, audio = prints
    assert {name: print_.shape for name, print_ in tokens.items()} == dict.fromkeys(tokens, (119, 29))
    found = {(one, two) for one, two, _ in alike(tokens, audio)}
    assert found == {("song-0", "song-0"), ("song-1", "song-1")}  # clicks alone are heard otherwise at another rate
