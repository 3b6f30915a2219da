"""The codec's decoder for slots that come and go: any of them a frame further, as one batch where the codec can."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from gigmate.codec.base import Codec, CodecStream
from gigmate.codec.compact import CompactCodec


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
    """

    def __init__(self, codec: CompactCodec, num_slots: int) -> None:
        self._codec = codec
        synthesis = codec.synthesis
        tail = torch.zeros(num_slots, synthesis.overlaps - 1, synthesis.half_hop, device=codec.device)
        decoder_past, synthesis_past = codec.silence(num_slots)
        self._num_decoder = len(decoder_past)
        self._past = [*decoder_past, *synthesis_past, tail]

    def decode(self, slots: Sequence[int], codes: Tensor, notes: Tensor) -> Tensor:
        """See `SlotDecoder`."""
        codec, index = self._codec, torch.tensor(slots, device=self._codec.device)
        *pasts, tail = [rows.index_select(0, index) for rows in self._past]
        latents = codec.quantizer.decode(codes.to(codec.device)[:, :, None])
        past = (pasts[: self._num_decoder], pasts[self._num_decoder :])
        windows, following = codec.windows(latents, past, notes.to(codec.device)[:, None])
        blocks, tail = codec.synthesis.overlap_add(torch.stack(windows).sum(dim=0), tail)
        for rows, after in zip(self._past, (*following[0], *following[1], tail), strict=True):
            rows.index_copy_(0, index, after)
        return blocks.flatten(1)[:, None]

    def reset(self, slot: int) -> None:
        """See `SlotDecoder`."""
        for rows in self._past:
            rows[slot] = 0  # the past before the first frame is silence
