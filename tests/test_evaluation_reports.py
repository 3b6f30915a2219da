"""Reports on things whose figures are known, and the demo's promise to be unheard of."""

from pathlib import Path

import numpy as np
import pytest
from test_accompanist import player  # noqa: F401 (a fixture)
from test_codec_compact import SMALL

from gigmate.accompanist import Accompanist
from gigmate.codec.compact import CompactCodec
from gigmate.data.sources import PracticeSource
from gigmate.data.splits import is_held_out
from gigmate.demo import DEMO_SEED
from gigmate.errors import InputError
from gigmate.evaluation.codec_report import score_codec, write_codec_report
from gigmate.evaluation.continuation_report import Song, past_losses, write_continuation_report
from gigmate.evaluation.excerpts import Excerpt, excerpts_of_stems, liveliest
from gigmate.evaluation.held_out import VALID_FRACTION, held_out_songs
from gigmate.evaluation.tables import read_csv, write_csv
from gigmate.evaluation.training_report import write_training_report
from gigmate.music.band import compose
from gigmate.music.grid import BeatGrid

RATE = 24_000


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


class Perfect(CompactCodec):
    """Its decode gives back what was last encoded."""

    def encode(self, wave):
        self.kept = wave
        return super().encode(wave)

    def decode(self, codes):
        return self.kept


def test_a_perfect_codec_gets_perfect_scores(tmp_path: Path):
    excerpts = [Excerpt("toys", f"{i}", "drums", noise(2, i)) for i in range(2)]
    scores = score_codec(Perfect(SMALL), excerpts)
    for score in scores:
        assert score.values["log_mel"] == 0
        assert score.values["onset_f1"] == 1
        assert score.values["chroma_r"] == pytest.approx(1)
    report = write_codec_report(scores, Perfect(SMALL), tmp_path)
    assert "| toys | drums | 2 | 0.00 |" in report.read_text()
    assert len(read_csv(tmp_path / "scores.csv")) == 2
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert {p.name for p in (tmp_path / "sound").iterdir()} == {"drums_original.wav", "drums_compact.wav"}


def test_the_liveliest_stretch_is_taken_and_silence_is_none():
    wave = np.concatenate([0.01 * noise(12, 0), noise(10, 1), 0.01 * noise(5, 2)])
    assert np.array_equal(liveliest(wave, RATE), wave[12 * RATE : 22 * RATE])
    assert liveliest(np.zeros(RATE, np.float32), RATE) is None
    made = list(excerpts_of_stems("o", "n", {"drums": noise(1, 0), "bass": np.zeros(RATE, np.float32)}, RATE))
    assert [e.instrument for e in made] == ["drums", "all"]


def test_a_training_report_says_what_is_below_the_unigram_entropy(tmp_path: Path):
    rows: list[dict[str, str | float]] = [
        {
            "step": step,
            "valid/loss_k0": 5.0 - step / 1000,
            "valid/unigram_entropy_k0": 5.5,
            "valid/true_minus50": 4.0,
            "valid/swapped_minus50": 4.25,
        }
        for step in (500, 1000)
    ]
    write_csv(tmp_path / "run" / "validation.csv", rows)
    text = write_training_report(tmp_path / "run", tmp_path / "out").read_text()
    assert "| codebook 1 | 4.000 | 5.500 unigram entropy | 1.500 |" in text
    assert "| lookahead -50 frames | 4.000 | 4.250 with another song's mix | 0.250 |" in text
    with pytest.raises(InputError, match=r"validation\.csv"):
        write_training_report(tmp_path, tmp_path)


def test_a_continuation_report_has_the_true_song_as_its_anchor(player: Accompanist, tmp_path: Path):  # noqa: F811
    songs = [Song(f"s{i}", noise(23, i), BeatGrid.from_tempo(120, 4, 23)) for i in range(2)]
    text = write_continuation_report(player, songs, tmp_path, seed=0).read_text()
    assert [line.split("|")[1].strip() for line in text.splitlines()[-3:]] == ["continued", "true song", "another song"]
    true, swapped = past_losses(player, songs)
    assert true != swapped


def test_held_out_songs_are_those_of_held_out_groups_and_the_demo_is_one():
    source = PracticeSource(num_songs=300, first_seed=4_000_000, seconds=4.0)
    entry, audio = next(iter(held_out_songs(source, 1, RATE)))
    assert is_held_out(audio.group, audio.split, VALID_FRACTION, 0)
    assert source.group(entry) == (audio.group, audio.split)
    assert is_held_out(f"practice:{compose(DEMO_SEED, 30.0).group}", None, VALID_FRACTION, 0)
