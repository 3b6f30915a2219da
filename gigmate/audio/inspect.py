"""The gate before any decoder runs: a file is judged by its first bytes, in plain Python."""

from gigmate.audio.chunks import inspect_aiff, inspect_riff, inspect_w64
from gigmate.audio.header import Header, check_length
from gigmate.audio.mp3 import inspect_mp3
from gigmate.audio.source import Source
from gigmate.audio.streams import inspect_flac, inspect_ogg
from gigmate.errors import InputError


def inspect(source: Source, max_seconds: float) -> Header:
    """The header of an audio file, judged; time and memory don't depend on what it claims.

    Raises:
        InputError: `empty`, `unrecognised`, `bad_header`, `no_data`, `zero_frames`, `truncated`, `too_many_chunks`,
            `bad_rate`, `bad_channels`, `bad_subtype`, `rate_change`, `too_long`.
    """
    if source.size == 0:
        raise InputError("empty", "the file has 0 bytes", remedy="export or download it again")
    start = source.read_at(0, 16)
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        header = inspect_riff(source)
    elif start[:4] == b"riff":
        header = inspect_w64(source)
    elif start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        header = inspect_aiff(source)
    elif start[:4] == b"fLaC":
        header = inspect_flac(source)
    elif start[:4] == b"OggS":
        header = inspect_ogg(source)
    else:
        header = inspect_mp3(source, max_seconds)
    check_length(header.num_samples or 0, header.sample_rate, max_seconds)
    return header
