"""What the codec's training does with notes: places are disturbed only where the notes can mend it."""

import pytest
import torch
from test_codec_compact import SMALL

from gigmate.pitch import FIRST_MELODY, UNKNOWN_NOTES
from gigmate.training.codec_module import CodecModule, prepare_noted

NUM_FRAMES = 72
MODEL = {**SMALL.__dict__, "num_partials": 4}


def batch(size: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    notes = torch.full((size, NUM_FRAMES), FIRST_MELODY)
    notes[0] = UNKNOWN_NOTES
    return {"wave": torch.randn(size, 1, NUM_FRAMES * 480) * 0.1, "notes": notes}


def test_only_windows_whose_notes_are_known_lose_their_places() -> None:
    latents = torch.arange(NUM_FRAMES).float()[None, :, None].repeat(200, 1, 2).requires_grad_()
    notes = batch(200)["notes"]
    torch.manual_seed(0)
    moved, told = prepare_noted(latents, notes, 120)
    assert torch.equal(moved[0], latents[0])
    assert torch.equal(moved[120:], latents[120:])
    assert (told[120:] == UNKNOWN_NOTES).all()
    assert torch.equal(told[:120], notes[:120])
    offset = (moved - latents)[1:120, :, 0].abs()
    assert (offset > 0).any(dim=1).float().mean() > 0.7  # some keep theirs
    assert (offset <= 3).float().mean() > 0.5  # most are near
    assert (offset > 10).any(dim=1).float().mean() > 0.2  # others are of another moment
    moved[1:120].sum().backward()
    assert latents.grad is not None
    assert not latents.grad[1:120].any()


@pytest.mark.parametrize("decoder_only", [False, True])
def test_notes_are_learned_from_and_the_codes_stay_if_they_shall(decoder_only: bool) -> None:
    torch.manual_seed(0)
    module = CodecModule(MODEL, skip_frames=1, decoder_only=decoder_only)
    losses, _ = module._losses(batch(), None)
    losses["loss"].backward()
    assert {"noted_mel", "noted_pitch"} <= set(losses)
    note = module.net.note
    assert note is not None
    assert note.says.grad is not None
    assert note.says.grad.any(dim=1).sum() > 1
    assert module.net.synthesis.partials is not None
    assert module.net.synthesis.partials.levels.bias.grad is not None
    makes_codes = [p.grad for part in module.net.code_makers for p in part.parameters()]
    assert any(grad is not None and bool(grad.any()) for grad in makes_codes) == (not decoder_only)


@pytest.mark.parametrize(("size", "share"), [(1, 0.6), (2, 1.0)])
def test_a_window_at_least_is_decoded_from_codes_alone(size: int, share: float) -> None:
    losses, _ = CodecModule(MODEL, skip_frames=1, noted_share=share)._losses(batch(size), None)
    assert losses["loss"].isfinite()


def test_a_codec_that_reads_no_notes_is_trained_on_codes_alone() -> None:
    module = CodecModule({**MODEL, "num_partials": 0}, skip_frames=1)
    losses, _ = module._losses(batch(), None)
    assert "noted_mel" not in losses
    assert losses["loss"].isfinite()
