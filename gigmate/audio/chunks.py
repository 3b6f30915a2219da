"""Containers made of chunks: WAV (RIFF), RF64, W64, AIFF. Chunks that we don't need are skipped unread."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gigmate.audio.header import Extent, Header, refused_subtype
from gigmate.audio.source import Source
from gigmate.errors import InputError

MAX_CHUNKS = 1_000
_WAVE_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_UNKNOWN_SIZE = 0xFFFFFFFF
_WAVE_TAGS = {0x01: "PCM", 0x03: "FLOAT", 0x02: "MS_ADPCM", 0x11: "IMA_ADPCM", 0x06: "ALAW", 0x07: "ULAW"}


@dataclass(frozen=True)
class Chunk:
    """One chunk: its name, where its body starts, and the size that it claims, in bytes."""

    name: bytes
    start: int
    size: int


def inspect_riff(source: Source) -> Header:
    """Header of a WAV or RF64 file. Raises InputError, see `audio_inspect.inspect`."""
    container = "RF64" if source.read_at(0, 4) == b"RF64" else "WAV"
    notes: list[str] = []
    (claimed,) = struct.unpack("<I", source.read_at(4, 4))
    if container == "WAV" and claimed + 8 != source.size:
        notes.append(f"riff_size: the RIFF header says {claimed + 8} bytes, the file has {source.size}")
    chunks = _walk(source, 12, "<4sI", align=2)
    found = _find(chunks, {b"fmt ", b"ds64"}, b"data")
    size = found[b"data"].size
    if size == _UNKNOWN_SIZE:
        size = source.size - found[b"data"].start
        if b"ds64" in found:
            size = struct.unpack("<Q", _body(source, found[b"ds64"], 16)[8:16])[0]
        else:
            notes.append("open_end: the length was never filled in, read to the end of the file")
    return _wave_header(source, container, found, size, notes)


def inspect_w64(source: Source) -> Header:
    """Header of a Sony Wave64 file. Raises InputError, see `audio_inspect.inspect`."""
    chunks = _walk(source, 40, "<16sQ", align=8, size_of_head=24)
    found = _find(chunks, {b"fmt "}, b"data")
    return _wave_header(source, "W64", found, found[b"data"].size, [])


def inspect_aiff(source: Source) -> Header:
    """Header of an AIFF or AIFC file. Raises InputError, see `audio_inspect.inspect`."""
    found = _find(_walk(source, 12, ">4sI", align=2), {b"COMM"}, b"SSND")
    body = _body(source, found[b"COMM"], 18)
    channels, num_samples, bits = struct.unpack(">hIh", body[:8])
    exponent, mantissa = struct.unpack(">HQ", body[8:18])  # 80-bit float
    rate = mantissa * 2.0 ** (min(exponent & 0x7FFF, 16383 + 63) - 16383 - 63)
    coding = source.read_at(found[b"COMM"].start + 18, 4) if found[b"COMM"].size >= 22 else b"NONE"
    names = {b"fl32": "FLOAT", b"FL32": "FLOAT", b"fl64": "DOUBLE", b"FL64": "DOUBLE"}
    if coding in (b"NONE", b"twos", b"sowt", b"in24", b"in32"):
        subtype = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}.get(bits, f"{bits} bits")
    else:
        subtype = names.get(coding, repr(coding.decode("latin-1")))
    data = found[b"SSND"]
    header = Header("AIFF", subtype, int(rate), channels, num_samples, (Extent(0, source.size),))
    width = channels * {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)
    _check_present(num_samples * width, source.size - data.start - 8)
    return header


def _wave_header(source: Source, container: str, found: dict[bytes, Chunk], data_size: int, notes: list[str]) -> Header:
    if b"fmt " not in found:
        raise InputError("bad_header", "no fmt chunk before the data", remedy="export it again")
    body = _body(source, found[b"fmt "], 16)
    tag, channels, rate, _, block_bytes, bits = struct.unpack("<HHIIHH", body)
    if tag == _WAVE_EXTENSIBLE:
        guid = _body(source, found[b"fmt "], 40)[24:40]
        tag = struct.unpack("<H", guid[:2])[0] if guid[2:] == _GUID_TAIL else -1
    family = _WAVE_TAGS.get(tag, f"format {tag:#x}")
    width = block_bytes // channels if channels else 0
    names = {
        ("PCM", 1): "PCM_U8",
        ("PCM", 2): "PCM_16",
        ("PCM", 3): "PCM_24",
        ("PCM", 4): "PCM_32",
        ("FLOAT", 4): "FLOAT",
        ("FLOAT", 8): "DOUBLE",
    }
    if family not in ("PCM", "FLOAT"):
        raise refused_subtype(container, family)
    subtype = names.get((family, width), f"{family} of {bits} bits")
    header = Header(container, subtype, rate, channels, None, (Extent(0, source.size),))
    if width * channels != block_bytes or not (width - 1) * 8 < bits <= width * 8:
        what = f"{channels} channels of {bits} bits don't make blocks of {block_bytes} bytes"
        raise InputError("bad_header", what, remedy="export it again")
    _check_present(data_size, source.size - found[b"data"].start)
    if odd := data_size % block_bytes:
        notes.append(f"odd_bytes: {odd} bytes at the end are no whole sample, ignored")
    return replace(header, num_samples=data_size // block_bytes, notes=tuple(notes))


def _walk(source: Source, offset: int, layout: str, align: int, size_of_head: int = 0) -> Iterator[Chunk]:
    """Chunks from `offset` on; `size_of_head` is what a container's size field counts beside the body."""
    head_bytes = struct.calcsize(layout)
    for _ in range(MAX_CHUNKS):
        head = source.read_at(offset, head_bytes)
        if len(head) < head_bytes:
            return
        name, size = struct.unpack(layout, head)
        if size < size_of_head:
            raise InputError("bad_header", f"a chunk that claims {size} bytes", remedy="export it again")
        yield Chunk(name[:4], offset + head_bytes, size - size_of_head)
        offset += head_bytes - size_of_head + size + -size % align
    raise InputError("too_many_chunks", f"more than {MAX_CHUNKS} chunks", remedy="export it again")


def _find(chunks: Iterator[Chunk], wanted: set[bytes], data: bytes) -> dict[bytes, Chunk]:
    """The first chunk of each wanted name; stops at the data chunk once all that may follow it are known."""
    found: dict[bytes, Chunk] = {}
    for chunk in chunks:
        if chunk.name in wanted | {data}:
            found.setdefault(chunk.name, chunk)
        if data in found and wanted - {b"ds64"} <= found.keys():
            return found
    if data not in found:
        raise InputError("no_data", "no data chunk", remedy="export or download it again")
    missing = (wanted - found.keys()).pop().decode()
    raise InputError("bad_header", f"no {missing} chunk", remedy="export or download it again")


def _body(source: Source, chunk: Chunk, num_bytes: int) -> bytes:
    body = source.read_at(chunk.start, num_bytes)
    if chunk.size < num_bytes or len(body) < num_bytes:
        what = f"the {chunk.name.decode('latin-1')} chunk is too short"
        raise InputError("bad_header", what, remedy="export or download it again")
    return body


def _check_present(claimed: int, held: int) -> None:
    if claimed > held:
        what = f"the header claims {claimed} bytes of samples, the file holds {max(held, 0)}"
        raise InputError("truncated", what, remedy="export or download it again")
