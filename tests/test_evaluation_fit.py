"""Distances of sets whose distance is known, and an encoder on pairs that plainly belong together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluation_adherence import RATE, drums, pair, roots
from test_evaluation_hearing import stored

from gigmate.codec.features import NUM_FEATURES
from gigmate.errors import CheckpointError
from gigmate.evaluation.adherence.anchors import RANDOM, TRUE
from gigmate.evaluation.adherence.scoring import Score
from gigmate.evaluation.adherence.table import set_distances
from gigmate.evaluation.fit.distances import frechet, median_distance, mmd, prompt_adherence
from gigmate.evaluation.fit.encoder import WINDOW_FRAMES, EncoderConfig, FitEncoder, levels, load_encoder, save_encoder
from gigmate.evaluation.fit.examples import Examples, draw_examples
from gigmate.evaluation.fit.judge import Judge, Verdict
from gigmate.evaluation.fit.training import accuracies, contrastive_loss, falsified_fits

RNG = np.random.default_rng(0)
SMALL = EncoderConfig(dim=16, embedding=8, dilations=(1, 4))


def cloud(mean: float, count: int = 400) -> np.ndarray:
    return np.random.default_rng(count).normal(mean, 1.0, (count, 4))


def test_distances_of_known_gaussians() -> None:
    assert frechet(cloud(0), cloud(0)) == pytest.approx(0, abs=1e-6)
    assert frechet(cloud(0), cloud(3)) == pytest.approx(4 * 9, rel=0.02)
    assert frechet(cloud(0), 2 * cloud(0)) == pytest.approx(4 * 1.0, rel=0.15)  # (2 - 1)^2 in each of 4 dimensions
    width = median_distance(cloud(0), cloud(1))
    assert mmd(cloud(0), cloud(0), width) == pytest.approx(0, abs=1e-9)
    assert mmd(cloud(0), cloud(3), width) > mmd(cloud(0), cloud(1), width) > 0.01
    with pytest.raises(ValueError, match="two embeddings"):
        frechet(cloud(0, 1), cloud(0))


def test_prompt_adherence_runs_from_mismatched_to_matching() -> None:
    right, wrong = cloud(0), cloud(2)
    assert prompt_adherence(right, right, wrong) == pytest.approx(1)
    assert prompt_adherence(wrong, right, wrong) == pytest.approx(0)
    assert 0.3 < prompt_adherence(cloud(1), right, wrong) < 0.7
    assert prompt_adherence(cloud(0.5), right, wrong) > prompt_adherence(cloud(1.5), right, wrong)


def test_prompt_adherence_obeys_its_formula_wherever_the_candidate_lies() -> None:
    right, wrong = cloud(0, 60), cloud(2, 70)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    width = median_distance(right, wrong)
    gap = np.sqrt(mmd(right, wrong, width))
    for candidate in (cloud(1, 50), cloud(-3, 50), cloud(9, 50), 0 * cloud(0, 50), np.concatenate([right, wrong])):
        found = prompt_adherence(candidate, right, wrong)
        apart = [np.sqrt(mmd(candidate, other, width)) for other in (wrong, right)]
        assert abs(apart[0] - apart[1]) <= gap + 1e-9  # a metric: nothing is clipped
        assert found == pytest.approx(0.5 + (apart[0] - apart[1]) / (2 * gap))
        turned = prompt_adherence(3 * candidate @ rotation, 3 * right @ rotation, 3 * wrong @ rotation)
        assert turned == pytest.approx(found, abs=1e-6)
        assert prompt_adherence(candidate, wrong, right) == pytest.approx(1 - found)
    assert prompt_adherence(cloud(100), right, wrong) == pytest.approx(0.5, abs=0.05)  # as far from both
    assert prompt_adherence(cloud(1), right, right[::-1]) == pytest.approx(0.5, abs=0.02)  # there is nothing to tell


def test_levels_ignore_gain_and_see_silence() -> None:
    power = torch.rand(2, NUM_FEATURES, 10)
    assert torch.allclose(levels(power), levels(1e-3 * power), atol=1e-5)
    assert levels(power).max() <= 1.001
    assert torch.equal(levels(torch.zeros(1, NUM_FEATURES, 3)), -torch.ones(1, NUM_FEATURES, 3))


def test_examples_are_pairs_of_one_moment(tmp_path: Path) -> None:
    batch = draw_examples([stored(tmp_path, i) for i in range(3)], 16, np.random.default_rng(0))
    assert batch.mixes.shape == batch.stems.shape == batch.transposed.shape == (16, NUM_FEATURES, WINDOW_FRAMES)
    assert {"drums", "bass", "keys"} == set(batch.instruments)
    assert all(
        name != "drums" for name, is_pitched in zip(batch.instruments, batch.is_pitched, strict=True) if is_pitched
    )
    periods = torch.tensor([60 / (100 + 10 * int(group[1])) * 50 for group in batch.groups])
    assert ((batch.shifts.abs() / periods > 0.25) & (batch.shifts.abs() / periods < 0.75)).all()


def rhythms(seed: int) -> Examples:
    """Eight songs, each with a rhythm of its own: the mix strikes it in high bands, the stem in low ones."""
    rng = np.random.default_rng(seed)
    struck = torch.from_numpy((rng.random((8, 1, 80)) < 0.3).astype(np.float32))
    mixes, stems = torch.zeros(2, 8, NUM_FEATURES, 80)
    mixes[:, 20:48], stems[:, :10] = struck, struck
    names = tuple(f"s{i}" for i in range(8))
    return Examples(mixes, mixes, stems, torch.full((8,), 7), torch.zeros(8, dtype=torch.bool), names, ("drums",) * 8)


def test_an_encoder_learns_what_belongs_together() -> None:
    """Of new songs too: it has learned that what strikes together belongs together, not which songs there were."""
    torch.manual_seed(0)
    encoder = FitEncoder(SMALL)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
    for step in range(40):
        loss = contrastive_loss(encoder, rhythms(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held_out = rhythms(1_000)
    with torch.no_grad():
        mixes, stems = encoder.mix_tower(held_out.mixes), encoder.stem_tower(held_out.stems)
        fits = torch.einsum("met,set->sm", mixes, stems)
        late, _ = falsified_fits(encoder, held_out, mixes, stems)
    assert fits.argmax(dim=1).tolist() == list(range(8))
    assert (fits.diagonal() / 80 > late).all()


def test_accuracies_are_shares(tmp_path: Path) -> None:
    found = accuracies(FitEncoder(SMALL).eval(), [stored(tmp_path, i) for i in range(2)], batches=1)
    assert set(found) == {"swap", "shift", "transpose"}
    assert all(0 <= share <= 1 for share in found.values())


def test_a_shift_is_a_roll_of_the_mix(tmp_path: Path) -> None:
    batch = draw_examples([stored(tmp_path, i) for i in range(2)], 4, RNG)
    encoder = FitEncoder(SMALL).eval()
    with torch.no_grad():
        mixes, stems = encoder.mix_tower(batch.mixes), encoder.stem_tower(batch.stems)
        batch.shifts.zero_()
        late, _ = falsified_fits(encoder, batch, mixes, stems)
        assert torch.allclose(late, encoder.fit(batch.mixes, batch.stems), atol=1e-6)


def test_an_encoder_comes_back_from_its_file(tmp_path: Path) -> None:
    encoder = FitEncoder(SMALL).eval()
    save_encoder(encoder, tmp_path / "fit.safetensors", {"steps": 1}, {"swap": 0.5})
    loaded = load_encoder(tmp_path / "fit.safetensors")
    power = torch.rand(2, NUM_FEATURES, WINDOW_FRAMES)
    assert torch.allclose(loaded.fit(power, power), encoder.fit(power, power), atol=2e-2)
    with pytest.raises(CheckpointError, match="a fit is needed"):
        load_encoder(Path(__file__).parents[1] / "gigmate" / "weights" / "nano.safetensors")


def test_the_judge_hears_pairs_of_any_length_and_level() -> None:
    judge, own = Judge(FitEncoder(SMALL).eval(), RATE), pair()
    verdict = judge.judge(own.mix, roots())
    assert verdict.pairs.shape == (4, 8)
    assert verdict.fit == pytest.approx(judge.judge(own.mix / np.float32(4), roots() / np.float32(7)).fit, abs=1e-3)
    assert judge.judge(own.mix[:RATE], drums()[:RATE]).stems.shape == (1, 8)


def test_sets_are_compared_player_by_player() -> None:
    def score(song: int, player: str, mean: float) -> Score:
        embeddings = np.random.default_rng(song).normal(mean, 1, (5, 4))
        return Score(f"s{song}", "bass", player, {"fit": mean}, Verdict(mean, embeddings, embeddings))

    scores = [score(i, name, mean) for i in range(8) for name, mean in ((TRUE, 3.0), (RANDOM, 0.0), ("model", 2.5))]
    found = set_distances(scores, "model")
    assert found is not None
    assert found.prefers is not None
    assert found.prefers.value == found.prefers.low == 1
    assert found.prompt_adherence > 0.7
    true, stranger = (set_distances(scores, name) for name in (TRUE, RANDOM))
    assert true is not None
    assert stranger is not None
    assert true.frechet < found.frechet < stranger.frechet
    assert set_distances([s for s in scores if s.player != RANDOM], "model") is None
