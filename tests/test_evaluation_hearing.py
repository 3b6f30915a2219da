"""Listening scores of models of which it is known what they hear."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from live_players import tiny_player
from torch import Tensor

from gigmate.codec.base import CodecSpec
from gigmate.codec.features import NUM_FEATURES, NUM_MEL_BANDS, MixFeatures
from gigmate.data.store import Recipe, SongCard, write_shard
from gigmate.data.windows import StoredSong
from gigmate.errors import InputError
from gigmate.evaluation.bootstrap import interval
from gigmate.evaluation.hearing.report import write_listening_report
from gigmate.evaluation.hearing.scores import per_song, rises, window_losses
from gigmate.evaluation.hearing.transpose import mel_centres_hz, transpose_power
from gigmate.evaluation.hearing.windows import WINDOW_S, HeardWindow, draw_windows, is_pitched
from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.model.config import ModelConfig
from gigmate.model.harmony import HARMONY_FEATURES, HarmonyEar
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BEAT_FEATURES, BeatGrid
from gigmate.music.note_codes import note_codes

K, V, SECONDS = 2, 8, 20
SPEC = CodecSpec("fake", 24_000, 1, 480, K, V, "f" * 64)
RECIPE = Recipe("tokens", 24_000, SPEC, NUM_FEATURES, BEAT_FEATURES)
NAMES = ("drums", "bass", "keys")


def stored(folder: Path, number: int, group: str | None = None, instruments: tuple[str, ...] = NAMES) -> StoredSong:
    """A song at 100 + 10 * number bpm: drums in the mel bands on the beat, keys in one semitone band."""
    rng = np.random.default_rng(number)
    grid = BeatGrid.from_tempo(100 + 10 * number, 4, SECONDS)
    frames = SECONDS * 50
    records = np.zeros(frames, RECIPE.record(len(instruments)))
    records["codes"] = rng.integers(0, V, records["codes"].shape)
    records["active"] = 1
    records["beats"] = grid.features(frames, 50).T
    records["power"][:, :, 5] = 0.01 * rng.random((frames, len(instruments)))
    on_beat = records["beats"][:, 3] > 0.7  # cosine of the beat's phase
    records["power"][on_beat, 0, :40] = 0.2
    records["power"][:, -1, NUM_MEL_BANDS + 20 + number] = 0.3
    size, sha = write_shard(folder, f"song-{number}", records)
    card = SongCard(f"song-{number}", "d", group or f"g{number}", "valid", "CC0", instruments, frames, True, size, sha)
    return StoredSong(number, folder, RECIPE, card)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[HeardWindow]:
    folder = tmp_path_factory.mktemp("tokens")
    return draw_windows([stored(folder, i) for i in range(3)], ahead_frames=50, limit=3, seed=0)


class Knowing(torch.nn.Module):
    """A model in name: what it expects of a step is a function of the conditions."""

    def __init__(self, expects: Callable[[StepConditions], Tensor]) -> None:
        super().__init__()
        self.config = ModelConfig(8, 1, 1, num_codebooks=K, codebook_size=V, beat_features=BEAT_FEATURES)
        self.heads = torch.nn.Linear(1, 1)
        self.expects = expects

    def forward(self, previous: Tensor, conditions: StepConditions) -> Tensor:
        code = self.expects(conditions).clamp(0, V - 1).long()
        one_hot = torch.nn.functional.one_hot(code, V).float()
        return 3.0 * one_hot[:, None].expand(-1, K, -1, -1)


def loudness(conditions: StepConditions) -> Tensor:
    return conditions.mix[:, :, 0, :40].mean(dim=-1) > 0.1


def note(conditions: StepConditions) -> Tensor:
    semitones = conditions.mix[:, :, 0, NUM_MEL_BANDS:NUM_FEATURES]
    return semitones.argmax(dim=-1) % V * (semitones.sum(dim=-1) > 0)


def phase(conditions: StepConditions) -> Tensor:
    return (conditions.beats[:, :, 2] + 1) * V / 2


def judged(windows: list[HeardWindow], expects: Callable[[StepConditions], Tensor]) -> dict[tuple[str, str], float]:
    """Mean rise by (what is falsified, grid), on stems that play exactly what the model expects at lookahead 0."""
    model = Knowing(expects)
    losses = []
    for window in windows:
        heard = torch.from_numpy(np.ascontiguousarray(window.mixes["true"].T))[None, :, None].repeat(1, 1, 3, 2)
        beats = torch.from_numpy(np.ascontiguousarray(window.grids["true"].T))[None]
        nothing = torch.zeros(1, dtype=torch.long)
        every = StepConditions(heard, torch.ones(heard.shape[:3], dtype=torch.bool), beats, nothing, nothing)
        own = expects(every).clamp(0, V - 1).long()[0, : window.codes.shape[1]].numpy()
        delayed = np.roll(own, -3)  # codebook 1 of frame t + 3 is written when mix frame t is heard
        losses += window_losses(
            as_model(model),
            [
                replace(window, codes=np.stack([delayed, own])),
            ],
        )
    found: dict[tuple[str, str], list[float]] = {}
    for rise in rises([loss for loss in losses if loss.lookahead == 0]):
        found.setdefault((rise.deception.name, rise.deception.grid), []).append(float(rise.per_codebook[0]))
    return {key: float(np.mean(values)) for key, values in found.items()}


def as_model(model: Knowing) -> AccompanimentLM:
    return model  # pyright: ignore[reportReturnType]


def test_windows_differ_from_the_truth_in_what_they_falsify(windows: list[HeardWindow]) -> None:
    assert len(windows) == 9
    assert len({(w.song, w.instrument) for w in windows}) == 9
    for window in windows:
        true = window.mixes["true"]
        assert window.codes.shape == (K, WINDOW_S * 50)
        assert true.shape == (NUM_FEATURES, WINDOW_S * 50 + 50)
        assert window.mixes["swapped"].mean() == pytest.approx(true.mean(), rel=1e-3)
        if "transposed" in window.mixes and window.instrument == "bass":
            moved, own = (window.mixes[name][NUM_MEL_BANDS:].sum(axis=1).argmax() for name in ("transposed", "true"))
            assert 1 <= abs(int(moved) - int(own)) <= 6
            assert np.allclose(window.mixes["transposed"][:40], true[:40], atol=0.02)  # drums don't change key
        lags = range(-70, 71)
        shift = max(
            lags, key=lambda lag: float((np.roll(true, -lag, axis=1) * window.mixes["shifted"])[:, 70:-70].sum())
        )
        period = 60 / (100 + 10 * int(window.song[-1])) * 50
        if window.instrument != "drums":
            assert 0.25 <= abs(shift) / period % 1 <= 0.75
        angle = np.arctan2(*window.grids["true"][2:4]) - np.arctan2(*window.grids["shifted"][2:4])
        assert 0.25 <= np.median(angle / (2 * np.pi) % 1) <= 0.75


def test_a_deaf_model_loses_nothing(windows: list[HeardWindow]) -> None:
    assert all(value == 0 for value in judged(windows, lambda c: torch.ones(c.batch, c.num_steps)).values())


def test_who_hears_when_loses_by_a_shift_alone(windows: list[HeardWindow]) -> None:
    found = judged([w for w in windows if w.instrument != "drums"], loudness)
    assert found["mix shifted", "none"] > 0.5
    assert found["mix swapped", "true"] > 0.05
    assert abs(found["mix transposed", "none"]) < 0.02
    assert found["grid shifted", "shifted"] == 0


def test_who_hears_notes_loses_by_a_transposition_alone(windows: list[HeardWindow]) -> None:
    found = judged([w for w in windows if w.instrument != "keys"], note)
    assert found["mix transposed", "true"] > 1
    assert found["mix swapped", "none"] > 1
    assert abs(found["mix shifted", "none"]) < 0.05


def test_who_reads_the_grid_loses_by_its_shift_alone(windows: list[HeardWindow]) -> None:
    found = judged(windows, phase)
    assert found["grid shifted", "shifted"] > 0.5
    assert all(value == 0 for (name, _), value in found.items() if name != "grid shifted")


def test_transposed_features_are_those_of_the_transposed_sound() -> None:
    features, times = MixFeatures(24_000, 480), torch.arange(24_000) / 24_000
    for semitones in (-6, -1, 3, 6):
        low, high = (
            torch.stack(
                [
                    0.1 / n * torch.sin(2 * torch.pi * hz * n * times * 2 ** (shift / 12))
                    for hz in (220, 277, 330)
                    for n in (1, 2, 3)
                ]
            ).sum(dim=0)
            for shift in (0, semitones)
        )
        heard, wanted = (features.analyse(wave[None, None])[0].numpy() for wave in (low, high))
        moved = transpose_power(heard, semitones)
        level, before = (
            np.corrcoef(np.log(part + 1e-4).ravel(), np.log(wanted + 1e-4).ravel())[0, 1] for part in (moved, heard)
        )
        assert level > 0.93
        assert level > before
    assert np.array_equal(transpose_power(heard, 0), heard)


def test_mel_centres_are_those_of_the_features() -> None:
    features = MixFeatures(24_000, 480)
    for band, hz in list(enumerate(mel_centres_hz(NUM_MEL_BANDS)))[5::10]:
        wave = torch.sin(2 * torch.pi * hz * torch.arange(4_800) / 24_000)[None, None]
        assert features.analyse(wave)[0, band, -1] == pytest.approx(1, abs=0.05)


def test_the_unfit_is_refused(tmp_path: Path) -> None:
    lone = stored(tmp_path, 0, instruments=("drums",))
    with pytest.raises(InputError, match="two instruments"):
        draw_windows([lone], 50, 5, 0)
    with pytest.raises(InputError, match="one group"):
        draw_windows([stored(tmp_path, 1, "g"), stored(tmp_path, 2, "g")], 50, 5, 0)


def test_an_interval_covers_the_truth_and_narrows() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        found = interval(rng.normal(1, 1, 25), seed=seed)
        covered += found.low <= 1 <= found.high
    assert 50 <= covered <= 60
    assert interval(np.full(3, 2.0)).low == 2
    wide, narrow = (interval(rng.normal(0, 1, n)) for n in (10, 1000))
    assert narrow.high - narrow.low < 0.3 * (wide.high - wide.low)
    assert f"{interval(np.ones(2)):.1f}" == "1.0 (1.0..1.0)"
    with pytest.raises(ValueError, match="a song at least"):
        interval([])


class CMajorEar(HarmonyEar):
    """Hears C major whatever is played."""

    def forward(self, levels: Tensor, transposition: Tensor | None = None) -> Tensor:
        logits = torch.full((*levels.shape[:-1], HARMONY_FEATURES), -6.0, dtype=self.hidden.weight.dtype)
        logits[..., [0, 12, 12 + 4, 12 + 7]] = 6.0
        return logits


def test_notes_are_weighed_as_when_it_plays_and_nothing_else() -> None:
    model = tiny_player(1, writes_notes=True).model
    model.conditions.harmony = CMajorEar(model.conditions.harmony.mix_features, model.conditions.harmony.bands)
    frames, rng = int(WINDOW_S * 50), np.random.default_rng(0)
    mix = {"true": rng.random((model.config.mix_features, frames + 50)).astype(np.float32)}
    codes = rng.integers(0, model.config.codebook_size, (model.config.num_codebooks, frames))
    strokes = np.array([[t, t + 0.4, 0.0] for t in np.arange(0.0, WINDOW_S, 0.5)])
    rise = {}
    for pitch in (60, 61):
        notes = note_codes(strokes + np.array([0, 0, pitch]), "keys", frames, Fraction(50)).astype(np.int64)
        window = HeardWindow("s", "g", "keys", codes, notes, mix)
        plain, weighed = (window_losses(model, [window], taste=NoteTaste(strength)) for strength in (0.0, 2.0))
        assert [loss.deception.mix for loss in plain] == ["true"] * 3 + ["unheard"] * 3
        assert all(np.array_equal(a.per_codebook[1:], b.per_codebook[1:]) for a, b in zip(plain, weighed, strict=True))
        moved = [float(b.per_codebook[0] - a.per_codebook[0]) for a, b in zip(plain, weighed, strict=True)]
        assert moved[3:] == pytest.approx([0] * 3, abs=1e-6)  # nothing is heard, nothing is weighed
        rise[pitch] = moved[:3]
    assert max(rise[60]) < 0 < min(rise[61])


def test_songs_count_alike_and_the_report_has_every_figure(windows: list[HeardWindow], tmp_path: Path) -> None:
    losses = window_losses(as_model(Knowing(note)), windows)
    assert per_song(losses).shape == (3, K)
    text = write_listening_report(losses, "planted", 0.0, tmp_path).read_text()
    assert "| mix transposed | given |" in text
    figures = json.loads((tmp_path / "scores.json").read_text())
    assert set(figures) >= {f"mix_shifted/grid_none/L{frames:+d}" for frames in (-25, 0, 50)}
    doubled = [loss for loss in losses if loss.window.song != "song-0"]
    assert per_song(doubled + doubled).tolist() == per_song(doubled).tolist()
    assert is_pitched("bass")
    assert not is_pitched("drums")
