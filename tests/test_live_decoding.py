"""The decoder of live slots, with the weights that ship: the program, the plain module and the stream play the same."""

import torch
from torch import nn

from gigmate.codec.compact import CompactCodec, load_compact
from gigmate.codec.half_linear import HalfLinear, fits_half, halve
from gigmate.live.decoding import BatchedDecoder, FrameDecode
from gigmate.pitch import FIRST_MELODY, NUM_NOTE_CODES, REST, UNKNOWN_NOTES

NUM_SLOTS = 12


def frames(num_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [T, slots, K] and notes [T, slots]: rests, melodies, chords, drums, and nothing known."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 1024, (num_frames, NUM_SLOTS, 4), generator=generator)
    notes = torch.randint(UNKNOWN_NOTES, NUM_NOTE_CODES, (num_frames, NUM_SLOTS), generator=generator)
    notes[:, 0], notes[:, 1], notes[:, 2] = REST, UNKNOWN_NOTES, FIRST_MELODY + 20
    return codes, notes


def test_the_program_plays_what_the_module_plays_to_the_last_bit() -> None:
    codec = load_compact()
    traced, plain = (BatchedDecoder(codec, NUM_SLOTS, is_traced=is_traced) for is_traced in (True, False))
    assert not isinstance(traced._decode, FrameDecode)
    assert isinstance(plain._decode, FrameDecode)
    codes, notes = frames(24)
    # alone without a voice, a few, and more voices than the partials of a few are made for
    for step, slots in enumerate([[0], [1, 0], [2], [3, 2, 0], list(range(NUM_SLOTS)), [11, 5]] * 4):
        waves = [decoder.decode(slots, codes[step, slots], notes[step, slots]) for decoder in (traced, plain)]
        torch.testing.assert_close(*waves, rtol=0, atol=1e-6 if len(slots) == NUM_SLOTS else 0)
        assert waves[0].abs().max() > 1e-4


def test_a_slot_plays_what_the_stream_plays() -> None:
    codec = load_compact()
    decoder, stream = BatchedDecoder(codec, NUM_SLOTS), codec.stream(NUM_SLOTS)
    codes, notes = frames(10)
    for now, sounding in zip(codes, notes, strict=True):
        live = decoder.decode(range(NUM_SLOTS), now, sounding)
        torch.testing.assert_close(live, stream.decode(now[:, :, None], sounding[:, None]), rtol=1e-5, atol=1e-5)


def test_weights_that_ship_are_held_in_half_and_lose_nothing() -> None:
    codec = load_compact()
    linear = codec.synthesis.head
    half = HalfLinear(linear)
    values = torch.randn(3, 2, linear.in_features)
    assert half.weight.dtype == torch.float16
    torch.testing.assert_close(half(values), linear(values), rtol=0, atol=0)
    held = FrameDecode(codec).codec
    assert isinstance(held.synthesis.head, HalfLinear)
    assert not isinstance(codec.synthesis.head, HalfLinear)


def test_weights_that_do_not_fit_stay_as_they_are() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8, bias=False)))
    with torch.no_grad():
        layers[1][0].weight.copy_(layers[1][0].weight.half())  # type: ignore[operator, union-attr]
    assert [fits_half(layers[0]), fits_half(layers[1][0])] == [False, True]  # type: ignore[arg-type, index]
    values = torch.randn(2, 8)
    before = layers(values)
    halve(layers)
    assert isinstance(layers[0], nn.Linear)
    assert isinstance(layers[1][0], HalfLinear)
    torch.testing.assert_close(layers(values), before, rtol=0, atol=0)


def test_a_decoder_begins_in_silence() -> None:
    """Tracing has run it: nothing of that is left."""
    codec: CompactCodec = load_compact()
    decoder = BatchedDecoder(codec, 2)
    assert all(bool((rows == 0).all()) for rows in decoder._past)
