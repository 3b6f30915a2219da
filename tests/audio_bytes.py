"""Audio files as bytes, good ones and ones that lie, for the tests of gigmate.audio."""

import io
import struct
import zlib

import numpy as np
import soundfile


def music(seconds: float = 0.5, rate: int = 24_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """[C, N] of a chord with some noise, peak below 0.9."""
    times = np.arange(round(seconds * rate)) / rate
    chord = sum(0.2 * np.sin(2 * np.pi * hz * times + hz) for hz in (220.0, 277.2, 329.6))
    noise = np.random.default_rng(seed).normal(0, 0.02, (channels, len(times)))
    return (chord + noise).astype(np.float32)


def encoded(wave: np.ndarray, rate: int, container: str, subtype: str, **options: object) -> bytes:
    """`wave` [C, N] through libsndfile."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, wave.shape[0], subtype, format=container, **options) as file:
        for start in range(0, wave.shape[1], 1 << 14):
            file.write(wave[:, start : start + (1 << 14)].T)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, claimed: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if claimed is None else claimed) + body + bytes(len(body) % 2)


def fmt(rate: int = 24_000, channels: int = 1, tag: int = 1, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def float_wav(wave: np.ndarray, rate: int = 24_000) -> bytes:
    """A float WAV of `wave` [C, N] with whatever is in it."""
    data = np.ascontiguousarray(wave.T, "<f4").tobytes()
    return riff(fmt(rate, wave.shape[0], 3, 32), chunk(b"data", data))


def flac_claiming(file: bytes, num_samples: int) -> bytes:
    """`file` with another total in its STREAMINFO."""
    packed = int.from_bytes(file[18:26], "big") >> 36 << 36 | num_samples
    return file[:18] + packed.to_bytes(8, "big") + file[26:]


def with_xing(file: bytes, num_frames: int) -> bytes:
    """An MP3 `file` whose Xing header claims another number of frames."""
    at = file.index(b"Xing") + 8
    return file[:at] + struct.pack(">I", num_frames) + file[at + 4 :]


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_sum(page: bytes) -> int:
    """The checksum of an Ogg page: CRC-32 with the bits the other way round than zlib's, from 0."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def ogg_pages(file: bytes) -> list[bytes]:
    """`file` page by page."""
    pages, at = [], 0
    while at < len(file):
        count = file[at + 26]
        size = 27 + count + sum(file[at + 27 : at + 27 + count])
        pages.append(file[at : at + size])
        at += size
    return pages


def ogg_page(like: bytes, granule: int, number: int, flags: int) -> bytes:
    """The page `like` with another place in the stream, its checksum made right."""
    bare = like[:5] + struct.pack("<BQ", flags, granule) + like[14:18] + struct.pack("<II", number, 0) + like[26:]
    return bare[:22] + struct.pack("<I", ogg_sum(bare)) + bare[26:]


def ogg_bomb(file: bytes, num_bytes: int, last_granule: int | None = None) -> bytes:
    """`file` made long by repeating its middle page; the last page claims the true length, or `last_granule`."""
    pages = ogg_pages(file)
    granules = [struct.unpack("<Q", page[6:14])[0] for page in pages]
    middle = max(i for i in range(2, len(pages) - 1))
    step = granules[middle] - granules[middle - 1]
    out, granule, size = pages[: middle + 1], granules[middle], sum(map(len, pages))
    while size < num_bytes:
        granule += step
        out.append(ogg_page(pages[middle], granule, len(out), 0))
        size += len(pages[middle])
    out.append(ogg_page(pages[middle], last_granule or granule + step, len(out), 4))
    return b"".join(out)
