"""The codec's decoder for slots that come and go: any of them a frame further, as one batch where the codec can."""

import copy
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gigmate.codec.base import Codec, CodecStream
from gigmate.codec.compact import CompactCodec
from gigmate.codec.half_linear import halve
from gigmate.pitch import FIRST_MELODY
from gigmate.tracing import CAN_TRACE, Program, traced

_SOUNDING = torch.tensor([FIRST_MELODY])
"""A note, for what a frame without one leaves out would be left out of the program."""


class SlotDecoder(Protocol):
    """Codes of some slots to their waves; the other slots stay as they are."""

    def decode(self, slots: Sequence[int], codes: Tensor, notes: Tensor) -> Tensor:
        """Codes [n, K] and note codes [n] of the next frame of n slots to waves [n, C, hop], `latency_samples` late."""
        ...

    def reset(self, slot: int) -> None:
        """As new, to the last bit."""
        ...


def slot_decoder(codec: Codec, num_slots: int) -> SlotDecoder:
    """The decoder for `num_slots` slots of `codec`.

    Raises:
        NotImplementedError: the codec can't be streamed.
    """
    if isinstance(codec, CompactCodec):
        return BatchedDecoder(codec, num_slots)
    return SeparateDecoder([codec.stream() for _ in range(num_slots)])


class SeparateDecoder:
    """One stream a slot: for codecs whose state is their own affair."""

    def __init__(self, streams: Sequence[CodecStream]) -> None:
        self._streams = streams

    def decode(self, slots: Sequence[int], codes: Tensor, notes: Tensor) -> Tensor:
        """See `SlotDecoder`."""
        frames = zip(slots, codes[:, :, None].split(1), notes[:, None].split(1), strict=True)
        return torch.cat([self._streams[slot].decode(frame, played) for slot, frame, played in frames])

    def reset(self, slot: int) -> None:
        """See `SlotDecoder`."""
        self._streams[slot].reset()


class BatchedDecoder:
    """`CompactStream.decode` with a row a slot, of which any are gathered, decoded and put back.

    What a slot remembers is small (some 0.1 MB), so moving it costs far less than a pass of the network for each slot:
    four slots take little longer than one, for the time goes into reading the weights.

    Args:
        codec: its weights are copied, later changes aren't seen.
        num_slots: how many there are.
        is_traced: False: every operation is called from Python, for comparison.
    """

    def __init__(self, codec: CompactCodec, num_slots: int, *, is_traced: bool = True) -> None:
        self._device = codec.device
        synthesis = codec.synthesis
        tail = torch.zeros(num_slots, synthesis.overlaps - 1, synthesis.half_hop, device=self._device)
        decoder_past, synthesis_past = codec.silence(num_slots)
        self._past = [*decoder_past, *synthesis_past, tail]
        frame = FrameDecode(codec)
        self._decode: Program = frame
        if is_traced and CAN_TRACE and self._device.type == "cpu":
            codes = torch.zeros(1, codec.config.num_codebooks, dtype=torch.int64)
            self._decode = traced(frame, self._given([0], codes, _SOUNDING), is_frozen=False)
            self.reset(0)

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], codes: Tensor, notes: Tensor) -> Tensor:
        """See `SlotDecoder`."""
        return self._decode(*self._given(slots, codes, notes))

    def reset(self, slot: int) -> None:
        """See `SlotDecoder`."""
        for rows in self._past:
            rows[slot] = 0  # the past before the first frame is silence

    def _given(self, slots: Sequence[int], codes: Tensor, notes: Tensor) -> tuple[Tensor, ...]:
        return (*(part.to(self._device) for part in (torch.tensor(slots), codes, notes)), *self._past)


class FrameDecode(nn.Module):
    """One frame of some slots as a function of tensors alone.

    Args:
        codec: copied, its weights held in 16 bits where they fit.
    """

    def __init__(self, codec: CompactCodec) -> None:
        super().__init__()
        self.codec = copy.deepcopy(codec).eval().requires_grad_(False)
        halve(self.codec)
        self.num_decoder = len(codec.config.decoder_dilations)

    def forward(self, slots: Tensor, codes: Tensor, notes: Tensor, *past: Tensor) -> Tensor:
        """Slots [n], codes [n, K], notes [n] and all slots' past, replaced in these slots' rows -> [n, 1, hop]."""
        *pasts, tail = [rows.index_select(0, slots) for rows in past]
        before = pasts[: self.num_decoder], pasts[self.num_decoder :]
        wave, following, tail = self.codec.sound(codes[:, :, None], before, tail, notes[:, None])
        for rows, after in zip(past, (*following[0], *following[1], tail), strict=True):
            rows.index_copy_(0, slots, after)
        return wave
