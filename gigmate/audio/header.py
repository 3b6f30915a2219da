"""What an audio file says of itself, and which of that is accepted."""

from dataclasses import dataclass
from typing import NamedTuple

from gigmate.errors import InputError

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 8
SUBTYPES = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")


class Extent(NamedTuple):
    """Bytes `start..stop` of the file, behind `prefix_hex` that stands in for other bytes: a file to the decoder."""

    start: int
    stop: int
    prefix_hex: str = ""


@dataclass(frozen=True)
class Header:
    """What the container claims. No claim is believed: decoding counts for itself.

    Attributes:
        container: `WAV RF64 W64 AIFF FLAC OGG MP3`.
        subtype: one of `SUBTYPES`.
        sample_rate: in Hz, within 8 000..192 000.
        channels: 1..8.
        num_samples: samples per channel that the container claims; None while that isn't known.
        extents: what to decode one after the other; more than one for a chained Ogg.
        notes: `code: explanation` of what is odd about the container but harmless.
    """

    container: str
    subtype: str
    sample_rate: int
    channels: int
    num_samples: int | None
    extents: tuple[Extent, ...]
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> tuple[str, str, int, int]:
        """What a decoder must find too: container, subtype, sample rate, channels."""
        return self.container, self.subtype, self.sample_rate, self.channels

    @property
    def is_exact(self) -> bool:
        """Whether `num_samples` is the very number that decoding yields (else start and end may be trimmed)."""
        return self.container not in ("OGG", "MP3")

    def __post_init__(self) -> None:
        if not MIN_RATE_HZ <= self.sample_rate <= MAX_RATE_HZ:
            what = f"sample rate {self.sample_rate} Hz, allowed are {MIN_RATE_HZ}..{MAX_RATE_HZ}"
            raise InputError("bad_rate", what, remedy="convert it to 44100 Hz")
        if not 1 <= self.channels <= MAX_CHANNELS:
            what = f"{self.channels} channels, allowed are 1..{MAX_CHANNELS}"
            raise InputError("bad_channels", what, remedy="mix it down to stereo")
        if self.subtype not in SUBTYPES:
            raise refused_subtype(self.container, self.subtype)
        if self.num_samples is not None and self.num_samples <= 0:
            raise InputError("zero_frames", "the file holds no samples", remedy="export it again")


def refused_subtype(container: str, subtype: str) -> InputError:
    """The error for an encoding that isn't listed."""
    what = f"{subtype} in {container} is not accepted, only {', '.join(SUBTYPES)}"
    return InputError("bad_subtype", what, remedy="convert it to 16-bit WAV or FLAC")


def check_length(num_samples: int, sample_rate: int, max_seconds: float) -> None:
    """Raise InputError `too_long` if `num_samples` last longer than `max_seconds`."""
    if num_samples > max_seconds * sample_rate:
        what = f"at least {num_samples / sample_rate:.1f} s long, the limit is {max_seconds:g} s"
        raise InputError("too_long", what, remedy="cut it, or raise max_seconds")
