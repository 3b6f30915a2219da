"""Audio as bytes of a file, in pieces."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile

BLOCK_SAMPLES = 1 << 16
_WAV_SUBTYPES = {"PCM_16": (1, 2), "FLOAT": (3, 4)}  # format tag, bytes per sample
_COMPRESSED = {".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


def encode(wave: np.ndarray, sample_rate: int, ending: str, subtype: str) -> Iterator[bytes | memoryview]:
    """A file of `wave` [C, N] in pieces; `ending` is `.wav` (`subtype` PCM_16 or FLOAT), `.flac` or `.ogg`.

    Raises:
        ValueError: another ending or subtype, or samples that are not finite or not [C, N].
    """
    if wave.ndim != 2 or not np.isfinite(wave).all():
        raise ValueError(f"wave must be finite and [C, N], given shape {wave.shape}")
    if ending == ".wav" and subtype in _WAV_SUBTYPES:
        return _wav(wave, sample_rate, subtype)
    if ending in _COMPRESSED and subtype == "PCM_16":
        return _compressed(wave, sample_rate, _COMPRESSED[ending])
    endings = ", ".join([".wav", *_COMPRESSED])
    raise ValueError(f"ending {ending!r} with subtype {subtype!r} can't be written, only {endings} (FLOAT: .wav)")


def _wav(wave: np.ndarray, sample_rate: int, subtype: str) -> Iterator[bytes | memoryview]:
    channels, num_samples = wave.shape
    tag, width = _WAV_SUBTYPES[subtype]
    size = num_samples * channels * width
    if size + 36 >= 1 << 32:
        raise ValueError(f"{size} bytes of samples don't fit into a WAV file")
    yield struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, tag, channels, sample_rate,
        sample_rate * channels * width, channels * width, width * 8, b"data", size,
    )  # fmt: skip
    for start in range(0, num_samples, BLOCK_SAMPLES):
        block = wave[:, start : start + BLOCK_SAMPLES].T
        if subtype == "PCM_16":
            block = np.clip(np.round(block * 32_768), -32_768, 32_767).astype("<i2")
        yield np.ascontiguousarray(block, None if subtype == "PCM_16" else "<f4").data.cast("B")


def _compressed(wave: np.ndarray, sample_rate: int, encoding: tuple[str, str]) -> Iterator[bytes]:
    """In blocks: libsndfile's Vorbis encoder overflows the stack when it is given a long wave at once."""
    buffer = io.BytesIO()
    container, subtype = encoding
    with soundfile.SoundFile(buffer, "w", sample_rate, wave.shape[0], subtype, format=container) as file:
        for start in range(0, wave.shape[1], BLOCK_SAMPLES):
            file.write(np.clip(wave[:, start : start + BLOCK_SAMPLES].T, -1, 1))
    yield buffer.getvalue()
