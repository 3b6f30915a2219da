"""The ear for chords: what it is given, what it learns, what is told to the language model."""

import pytest
import torch
from torch.nn import functional as F

from gigmate.model.harmony import HARMONY_FEATURES, HarmonyEar, harmony_loss, transposed
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES

BANDS, D = 24, 30


def levels(pitch: torch.Tensor) -> torch.Tensor:
    """[N, 2 * D]: one loud band of the last `BANDS` in the frame and in its past."""
    bands = -torch.ones(len(pitch), 2, D)
    bands[torch.arange(len(pitch)), :, D - BANDS + pitch] = 0.5
    return bands.flatten(1)


def test_a_chord_is_the_same_at_any_level() -> None:
    ear, quiet = HarmonyEar(D, BANDS), levels(torch.arange(6))
    torch.testing.assert_close(ear(quiet), ear(quiet + 0.3))


def test_other_features_are_not_heard() -> None:
    ear, given = HarmonyEar(D, BANDS), levels(torch.arange(6))
    changed = given.view(-1, 2, D).clone()
    changed[..., : D - BANDS] = 3.0
    assert torch.equal(ear(given), ear(changed.flatten(1)))


@pytest.mark.parametrize("up", [-5, 0, 7])
def test_transposed_is_what_sounds_so_many_semitones_higher(up: int) -> None:
    ear, pitch = HarmonyEar(D, BANDS), torch.tensor([8, 10, 12])
    moved = ear(levels(pitch), torch.full((3,), up))
    torch.testing.assert_close(moved, ear(levels(pitch + up)))


def test_what_moves_in_is_silent() -> None:
    moved = transposed(torch.zeros(1, 4), torch.tensor([3]))
    assert (moved[0, :3] < -1).all()
    assert moved[0, 3] == 0


def test_nothing_is_told_of_what_is_unheard_and_chances_of_what_is() -> None:
    told = HarmonyEar(D, BANDS).read(levels(torch.arange(2)), torch.tensor([True, False]))
    assert told.shape == (2, HARMONY_FEATURES)
    assert not told.requires_grad
    assert not told[1].any()
    assert float(told[0, :NUM_PITCH_CLASSES].sum()) == pytest.approx(1)


def test_the_loss_counts_known_chords_only() -> None:
    logits = torch.randn(4, HARMONY_FEATURES, generator=torch.Generator().manual_seed(0))
    tones = F.one_hot(torch.tensor([1, 2, 3, 4]), NUM_PITCH_CLASSES).float()
    tones[2:] = 0
    known = harmony_loss(logits, torch.tensor([1, NO_ROOT, 3, NO_ROOT]), tones)
    root = F.cross_entropy(logits[[0, 2], :NUM_PITCH_CLASSES], torch.tensor([1, 3]))
    of_tones = F.binary_cross_entropy_with_logits(logits[:2, NUM_PITCH_CLASSES:], tones[:2])
    torch.testing.assert_close(known, root + of_tones)
    assert harmony_loss(logits, torch.full((4,), NO_ROOT), torch.zeros(4, NUM_PITCH_CLASSES)) == 0


def test_it_learns_a_root_from_other_transpositions() -> None:
    """Trained on one octave of pitches moved at random, it names the root of all."""
    torch.manual_seed(0)
    ear, pitch = HarmonyEar(D, BANDS), torch.arange(6, 18)
    optimizer = torch.optim.Adam(ear.parameters(), 5e-3)
    for _ in range(150):
        up = torch.randint(-6, 6, (len(pitch),))
        root = (pitch + up) % NUM_PITCH_CLASSES
        loss = harmony_loss(ear(levels(pitch), up), root, F.one_hot(root, NUM_PITCH_CLASSES).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (ear(levels(pitch))[:, :NUM_PITCH_CLASSES].argmax(dim=1) == pitch % NUM_PITCH_CLASSES).all()
