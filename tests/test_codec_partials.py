"""Sinusoids for notes: the pitch is the note's, windows join without a seam, and a stream of pieces is the whole."""

import math

import pytest
import torch
from test_codec_compact import SMALL
from torch import Tensor

from gigmate.codec.compact import CompactCodec, CompactConfig
from gigmate.codec.partials import Partials, pitch_of_place
from gigmate.pitch import FIRST_CHORD, FIRST_MELODY, NUM_NOTE_CODES, REST, UNKNOWN_NOTES, read_note_code

RATE, STEP, DIM = 24_000, 240, 16
A1, A2 = (FIRST_MELODY + 2 * (pitch - 24) for pitch in (33, 45))
C_MAJOR = next(c for c in range(FIRST_CHORD, NUM_NOTE_CODES) if read_note_code(c).pitch_classes == (0, 4, 7))


@pytest.fixture(scope="module")
def partials() -> Partials:
    torch.manual_seed(0)
    return Partials(DIM, 12, RATE, STEP)


def sound(partials: Partials, notes: Tensor, clock: int = 0) -> Tensor:
    """[J] note codes -> the windows overlapped, [(J + 1) * STEP]."""
    x = torch.zeros(1, len(notes), DIM)
    with torch.no_grad():
        windows = partials(x, notes[None], torch.tensor([clock]))[0]
    wave = torch.zeros((len(notes) + 1) * STEP)
    for j, window in enumerate(windows):
        wave[j * STEP : (j + 2) * STEP] += window
    return wave


def sinusoids(hz: float, count: int, num_samples: int) -> Tensor:
    """The obvious sum, all partials at the level that untrained weights give."""
    time = torch.arange(num_samples, dtype=torch.float64) / RATE
    parts = [
        torch.cos(2 * math.pi * k * hz * time + math.pi * k * (k - 1) / count) / k
        for k in range(1, count + 1)
        if k * hz < RATE / 2
    ]
    return (math.exp(-3.0) * torch.stack(parts).sum(dim=0)).float()


@pytest.mark.parametrize(("code", "pitches"), [(A1, [33]), (A2, [45]), (C_MAJOR, [36, 40, 43])])
def test_a_held_note_is_the_plain_sum_of_its_partials(partials: Partials, code: int, pitches: list[int]) -> None:
    made = sound(partials, torch.full((40,), code))
    expected = sum(sinusoids(440 * 2 ** ((pitch - 69) / 12), 12, len(made)) for pitch in pitches)
    inner = slice(STEP, -STEP)  # where two windows overlap
    torch.testing.assert_close(made[inner], torch.as_tensor(expected)[inner], rtol=0, atol=2e-6)


def test_rests_drums_and_unknown_notes_are_silent(partials: Partials) -> None:
    assert not sound(partials, torch.tensor([REST, 1, 255, UNKNOWN_NOTES])).any()


def test_a_later_start_goes_on_in_phase(partials: Partials) -> None:
    """An hour into a stream too: 360,000 windows, and as many more as make the product of integers large."""
    for start in (0, 360_000, 40_000_000):
        whole = sound(partials, torch.full((8,), A1), start)
        rest = sound(partials, torch.full((5,), A1), start + 3)
        torch.testing.assert_close(whole[4 * STEP : -STEP], rest[STEP:-STEP], rtol=0, atol=1e-6)


def test_levels_follow_what_the_network_hears(partials: Partials) -> None:
    torch.manual_seed(1)
    loud = Partials(DIM, 12, RATE, STEP)
    torch.nn.init.normal_(loud.levels.weight)
    x = torch.randn(1, 6, DIM, requires_grad=True)
    loud(x, torch.full((1, 6), A1), torch.tensor([0])).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=2) > 0).all()


def test_pitches_of_voices_are_those_of_the_notes() -> None:
    assert [pitch_of_place(place) for place in (0, 72, 73, 84)] == [24, 96, 36, 47]


@pytest.fixture(scope="module")
def codec() -> CompactCodec:
    torch.manual_seed(0)
    codec = CompactCodec(CompactConfig(**{**SMALL.__dict__, "num_partials": 8})).eval()
    codec.quantizer.vectors.copy_(torch.randn_like(codec.quantizer.vectors) * 0.3)
    assert codec.note is not None
    assert codec.synthesis.partials is not None
    torch.nn.init.normal_(codec.note.says, std=0.3)
    torch.nn.init.normal_(codec.synthesis.partials.levels.weight)
    return codec


CODES = torch.randint(0, 64, (2, 4, 24), generator=torch.Generator().manual_seed(0))
NOTES = torch.randint(UNKNOWN_NOTES, NUM_NOTE_CODES, (2, 24), generator=torch.Generator().manual_seed(1))


def test_a_stream_told_the_notes_equals_the_whole(codec: CompactCodec) -> None:
    stream, parts = codec.stream(2), []
    for piece in torch.arange(24).split(5):
        parts.append(stream.decode(CODES[..., piece], NOTES[:, piece]))
    lag, whole = codec.spec.latency_samples, codec.decode(CODES, NOTES)
    streamed = torch.cat(parts, dim=2)
    assert (streamed[..., lag:] - whole[..., :-lag]).abs().max() <= 1e-5 * whole.abs().max()


def test_unknown_notes_are_no_notes_and_known_ones_are_heard_from_their_frame_on(codec: CompactCodec) -> None:
    plain = codec.decode(CODES)
    assert torch.equal(codec.decode(CODES, torch.full_like(NOTES, UNKNOWN_NOTES)), plain)
    changed = NOTES.clone()
    changed[:, 12:] = A2
    before = 12 * 480 - codec.spec.latency_samples
    one, other = codec.decode(CODES, NOTES), codec.decode(CODES, changed)
    torch.testing.assert_close(one[..., :before], other[..., :before], rtol=0, atol=1e-5)
    assert not torch.allclose(one[..., before:], other[..., before:], atol=1e-2)


def test_a_decoder_that_reads_notes_makes_the_same_codes(codec: CompactCodec) -> None:
    """Language models and shards of the codec's codes stay valid: its fingerprint is theirs."""
    deaf = CompactCodec(SMALL)
    deaf.load_state_dict(codec.state_dict(), strict=False)
    assert deaf.spec == codec.spec
