"""Containers made of frames or pages: FLAC, Ogg (Vorbis, Opus)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gigmate.audio.header import Extent, Header, refused_subtype
from gigmate.audio.source import Source
from gigmate.errors import InputError

MAX_PAGES, MAX_LINKS = 400_000, 500
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_UNKNOWN_GRANULE = (1 << 64) - 1


def inspect_flac(source: Source) -> Header:
    """Header of a FLAC file, from its STREAMINFO. Raises InputError, see `audio_inspect.inspect`."""
    start = source.read_at(0, 42)
    if len(start) < 42 or start[4] & 0x7F != 0 or start[5:8] != b"\0\0\x22":
        raise InputError("bad_header", "FLAC without STREAMINFO", remedy="export or download it again")
    (packed,) = struct.unpack(">Q", start[18:26])
    bits = (packed >> 36 & 0x1F) + 1
    subtype = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}.get(bits, f"{bits} bits")
    num_samples = packed & 0xFFFFFFFFF
    if num_samples == 0:  # written to a pipe; libsndfile can't find the end of such a stream
        raise InputError(
            "bad_header", "this FLAC doesn't say how long it is", remedy="convert it to WAV, or FLAC again"
        )
    return Header("FLAC", subtype, packed >> 44, (packed >> 41 & 7) + 1, num_samples, (Extent(0, source.size),))


def inspect_ogg(source: Source) -> Header:
    """Header of an Ogg file; chained links become extents. Raises InputError, see `audio_inspect.inspect`."""
    links: list[Header] = []
    page = None
    for page in _pages(source):
        if page.is_first:
            links.append(_link_header(source, page))
            if len(links) > MAX_LINKS:
                raise InputError(
                    "too_many_chunks", f"more than {MAX_LINKS} chained streams", remedy="convert it to WAV"
                )
        elif not links:
            raise InputError("bad_header", "Ogg that doesn't begin with a first page", remedy="download it again")
        links[-1] = _grown(links[-1], page)
    if page is None:
        raise InputError("bad_header", "Ogg without a page", remedy="download it again")
    first = links[0]
    for link in links[1:]:
        if (link.subtype, link.sample_rate, link.channels) != (first.subtype, first.sample_rate, first.channels):
            what = f"changes from {first.sample_rate} Hz, {first.channels} channels, {first.subtype}"
            what += f" to {link.sample_rate} Hz, {link.channels} channels, {link.subtype}"
            raise InputError("rate_change", what, remedy="split it, or convert it to WAV")
    notes: list[str] = []
    if len(links) > 1:
        notes.append(f"chained: {len(links)} Ogg streams, taken one after the other")
    if source.size > page.stop:
        notes.append(f"junk: {source.size - page.stop} bytes after the last Ogg page ignored")
    if not page.is_last:
        notes.append("no_end: the last Ogg page has no end mark, the file may have been cut")
    total = sum(link.num_samples or 0 for link in links)
    extents = tuple(extent for link in links for extent in link.extents)
    return replace(first, num_samples=total, extents=extents, notes=tuple(notes))


@dataclass(frozen=True)
class _Page:
    start: int
    body: int
    stop: int
    granule: int
    number: int
    is_first: bool
    is_last: bool


def _pages(source: Source) -> Iterator[_Page]:
    offset, before = 0, None
    for _ in range(MAX_PAGES):
        page = _read_page(source, offset)
        if page is None:
            return
        if before is not None and before.is_first and page.is_first:
            raise refused_subtype("OGG", "several streams side by side")
        if before is not None and not page.is_first and page.number != (before.number + 1) % (1 << 32):
            what = f"Ogg page {before.number + 1} is missing before byte {page.start}"
            raise InputError("decode_error", what, remedy="download it again")
        yield page
        before, offset = page, page.stop
    raise InputError("too_many_chunks", f"more than {MAX_PAGES} Ogg pages", remedy="export it again")


def _read_page(source: Source, offset: int) -> _Page | None:
    head = source.read_at(offset, 27)
    if head[:4] != b"OggS":
        return None
    table = source.read_at(offset + 27, head[26]) if len(head) == 27 else b""
    body = offset + 27 + len(table)
    stop = body + sum(table)
    if len(head) < 27 or len(table) < head[26] or stop > source.size:
        what = f"the last Ogg page needs {stop} bytes, the file has {source.size}"
        raise InputError("truncated", what, remedy="download it again")
    granule, _, number, claimed_sum = struct.unpack("<QIII", head[6:26])
    page = source.read_at(offset, stop - offset)
    if _page_sum(page[:22] + bytes(4) + page[26:]) != claimed_sum:
        what = f"the Ogg page at byte {offset} is damaged"
        raise InputError("decode_error", what, remedy="download it again")
    return _Page(offset, body, stop, granule, number, bool(head[5] & 2), bool(head[5] & 4))


def _page_sum(page: bytes) -> int:
    """CRC-32 with the polynomial of zlib, but bits the other way round and from 0: zlib's, fed with mirrored bytes."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _link_header(source: Source, page: _Page) -> Header:
    start = source.read_at(page.body, min(page.stop - page.body, 64))
    extents = (Extent(page.start, page.stop),)
    if start[:7] == b"\x01vorbis" and len(start) >= 16:
        channels, rate = struct.unpack("<BI", start[11:16])
        return Header("OGG", "VORBIS", rate, channels, None, extents)
    if start[:8] == b"OpusHead" and len(start) >= 19:
        channels, _, rate = struct.unpack("<BHI", start[9:16])
        # The decoder plays at the rate that was encoded if Opus has it, else at Opus' own.
        rate = rate if rate in (8_000, 12_000, 16_000, 24_000) else 48_000
        return Header("OGG", "OPUS", rate, channels, None, extents)
    raise refused_subtype("OGG", repr(start[:8].decode("latin-1")))


def _grown(link: Header, page: _Page) -> Header:
    """`link` with this page as its last: where it ends, and the length that its granule position claims."""
    extents = (Extent(link.extents[0].start, page.stop),)
    if page.is_first or page.granule in (0, _UNKNOWN_GRANULE):
        return replace(link, extents=extents)
    num_samples = page.granule * link.sample_rate // 48_000 if link.subtype == "OPUS" else page.granule
    if num_samples < (link.num_samples or 0):  # the decoder believes the last page
        raise InputError("bad_header", f"time runs backwards at byte {page.start}", remedy="download it again")
    return replace(link, num_samples=num_samples, extents=extents)
