"""The judge hears which notes are played; what is wanted is never read from what may not be heard yet."""

import math

import pytest
import torch
from torch import Tensor

from gigmate.chord_judge import CHORD_DELAY_FRAMES, ChordJudge, wanted_classes
from gigmate.codec.features import NUM_FEATURES, MixFeatures
from gigmate.generation.chord_ear import LEAD_FRAMES, ChordEar
from gigmate.generation.chord_listener import ChordListener, nothing_known
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM

RATE, HOP, NUM_FRAMES = 24_000, 480, 60
A, C, E = 9, 0, 4


class SineCodec:
    """A code is a MIDI pitch; 0 is silence."""

    def decode(self, codes: Tensor) -> Tensor:
        pitch = codes[:, 0].repeat_interleave(HOP, dim=1)
        time = torch.arange(pitch.shape[1]) / RATE
        hz = 440 * 2 ** ((pitch - 69) / 12)
        return torch.where(pitch > 0, 0.3 * torch.sin(2 * math.pi * hz * time), 0.0)[:, None]


def scores(pitches: list[int], wanted: dict[int, float], num_candidates: int | None = None) -> list[float]:
    codes = torch.tensor(pitches)[:, None, None].expand(-1, 1, NUM_FRAMES)
    worth = torch.zeros(len(pitches), NUM_FRAMES, 12)
    for pitch_class, value in wanted.items():
        worth[:, :, pitch_class] = value
    size = num_candidates or len(pitches)
    judge = ChordJudge(SineCodec().decode, MixFeatures(RATE, HOP), worth, size)  # pyright: ignore[reportArgumentType]
    return judge(codes, 30).tolist()


def test_notes_of_the_chord_score_what_they_are_worth_in_any_octave() -> None:
    low, high, third, wrong = scores([45, 69, 64, 66], {A: 1.0, E: 0.25})
    assert low > 0.7  # bands overlap: a quarter of a sine falls to its neighbours
    assert high > 0.7
    assert 0.15 < third < 0.3
    assert wrong < 0.1


def test_silence_is_worth_what_sounds_beside_it_on_the_mean() -> None:
    good, silence, wrong, others, nothing, noise = scores([69, 0, 66, 0, 0, 0], {A: 1.0}, num_candidates=3)
    assert silence == pytest.approx((good + wrong) / 2, abs=1e-6)
    assert good > silence > wrong
    assert others == nothing == noise == 0


def wanted(power: Tensor, lookahead: int) -> Tensor:
    torch.manual_seed(0)
    model = AccompanimentLM(ModelConfig(dim=16, num_layers=1, num_heads=2)).eval()
    conditions = FrameConditions(
        power, torch.tensor([True]), torch.zeros(1, 10, 0), torch.tensor([1]), torch.tensor([lookahead])
    )
    return wanted_classes(model, conditions, NUM_FRAMES, is_bass=torch.tensor([True]))


def test_nothing_is_wanted_for_what_lies_beyond_the_lookahead() -> None:
    power = torch.rand(1, NUM_FEATURES, 120, generator=torch.Generator().manual_seed(0))
    for lookahead in (-10, 0, 5, 50):
        changed = power.clone()
        changed[:, :, 40:] = torch.rand(1, NUM_FEATURES, 80)
        known = 40 - min(lookahead, CHORD_DELAY_FRAMES)
        before, after = wanted(power, lookahead), wanted(changed, lookahead)
        assert torch.equal(before[:, :known], after[:, :known])
        assert not torch.equal(before[:, known : known + 1], after[:, known : known + 1])


def test_who_has_an_ear_for_chords_judges_a_frame_by_the_chord_of_its_time() -> None:
    torch.manual_seed(0)
    model, ear = AccompanimentLM(ModelConfig(dim=16, num_layers=1, num_heads=2)).eval(), ChordEar().eval()
    power = torch.rand(2, NUM_FEATURES, 120, generator=torch.Generator().manual_seed(0))
    conditions = FrameConditions(
        power, torch.tensor([True, False]), torch.randn(2, 10, 120), torch.tensor([2, 2]), torch.tensor([20, 20])
    )
    worth = wanted_classes(model, conditions, NUM_FRAMES, is_bass=torch.tensor([False, False]), ear=ear)
    pattern = model.config.build_pattern()
    listener = ChordListener(ear, pattern.max_delay, torch.device("cpu"))
    given = step_conditions(conditions, pattern, NUM_FRAMES)
    _, chords = listener.hear(nothing_known(2, torch.device("cpu")), given)
    torch.testing.assert_close(worth[0, LEAD_FRAMES:], chords.tones[0, :-LEAD_FRAMES].float())
    assert not worth[1].any()  # nothing is heard
