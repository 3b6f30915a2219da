"""The smallest SoundFont that plays: one looped sine for some programs and the drum kit, written byte by byte."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SAMPLE_RATE = 24_000
ROOT_HZ = 240.0  # 100 samples a period, so the loop is exact
PRESETS = ((0, 0), (33, 0), (81, 0), (0, 128))  # program, bank


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def write_soundfont(path: Path, generators: Sequence[tuple[int, int]] = (), recorded_key: int = 60) -> Path:
    """Key `recorded_key` sounds at `ROOT_HZ`, unless the zone's `generators` (kind, amount) overrule it."""
    wave = np.round(16_000 * np.sin(2 * np.pi * ROOT_HZ / SAMPLE_RATE * np.arange(1000))).astype("<i2")
    end = len(PRESETS)
    headers = [
        struct.pack("<20sHHHIII", b"tone", program, bank, i, 0, 0, 0)
        for i, (program, bank) in enumerate((*PRESETS, (0, 0)))
    ]
    preset_bags = b"".join(struct.pack("<HH", i, 0) for i in range(end + 1))
    preset_generators = struct.pack("<HH", 41, 0) * end + bytes(4)  # instrument 0
    instruments = struct.pack("<20sH", b"tone", 0) + struct.pack("<20sH", b"EOI", 1)
    zone = ((54, 1), *generators, (53, 0))  # looped, sample 0
    zone = (
        *(pair for pair in zone if pair[0] == 43),
        *(pair for pair in zone if pair[0] != 43),
    )  # key ranges come first
    instrument_bags = struct.pack("<HHHH", 0, 0, len(zone), 0)
    instrument_generators = b"".join(struct.pack("<HH", kind, amount & 0xFFFF) for kind, amount in zone) + bytes(4)
    sample = struct.pack("<20sIIIIIBbHH", b"tone", 0, 1000, 100, 900, SAMPLE_RATE, recorded_key, 0, 0, 1)
    info = _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 1)), _chunk(b"INAM", b"tiny\0\0"))
    data = _list(b"sdta", _chunk(b"smpl", wave.tobytes() + bytes(92)))
    parts = _list(
        b"pdta",
        _chunk(b"phdr", b"".join(headers)),
        _chunk(b"pbag", preset_bags),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", preset_generators),
        _chunk(b"inst", instruments),
        _chunk(b"ibag", instrument_bags),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", instrument_generators),
        _chunk(b"shdr", sample + struct.pack("<20s26x", b"EOS")),
    )
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + info + data + parts))
    return path
