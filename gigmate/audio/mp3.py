"""MP3: frames found and counted without decoding, for their number is what the decoder must be told right."""

import struct
from typing import NamedTuple

from gigmate.audio.header import Extent, Header, check_length
from gigmate.audio.source import Source
from gigmate.errors import InputError

MAX_JUNK_BYTES = 1 << 17
_EMPTY_TAG = b"ID3\x04\0\0" + bytes([0, 0, 32, 0]) + bytes(32 << 7)
_SEARCH_BYTES = 1 << 16
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class Frame(NamedTuple):
    """An MPEG layer III frame as its four bytes of header announce it."""

    start: int
    num_bytes: int
    num_samples: int
    rate_hz: int
    channels: int


def inspect_mp3(source: Source, max_seconds: float) -> Header:
    """Header of an MP3 file, its frames counted (up to the limit). Raises InputError, see `audio_inspect.inspect`.

    libsndfile stops after as many frames as the Xing header claims, or, without one, as many as the first frame's bit
    rate and the size suggest: a file of variable rate would lose its end unnoticed, one of constant rate up to a frame.
    So where the claim is wrong, or missing and the rate variable, the decoder is shown a first frame that claims what
    was counted. (Where it was missing, the decoder then also leaves out its own delay, the first 529 samples; players
    differ in that anyway.) Where it is missing and the rate constant, an empty tag in front makes the size ample.
    """
    start, stop = _skip_id3(source), source.size
    if stop - start > 128 and source.read_at(stop - 128, 3) == b"TAG":
        stop -= 128
    first = _find_frame(source, start, stop)
    if first is None:
        what = f"no known audio format; it begins with {source.read_at(0, 16)!r}"
        raise InputError("unrecognised", what, remedy="give WAV, FLAC, Ogg or MP3")
    body = source.read_at(first.start, first.num_bytes)
    claim_at = _find_claim(body)
    found = _count_frames(source, first, stop, max_seconds)
    count, extent, notes = found.frames - (claim_at is not None), Extent(first.start, stop), []
    if found.junk:
        notes.append(f"junk: {found.junk} bytes between or after MP3 frames ignored")
    if claim_at is None and found.is_variable:
        notes.append("length_claim: the header should claim the number of frames, it was counted")
        extent = Extent(first.start, stop, _claiming_frame(body, count).hex())
    elif claim_at is None:
        extent = Extent(first.start, stop, _EMPTY_TAG.hex())
    elif claim_at is not None and (claimed := int.from_bytes(body[claim_at : claim_at + 4], "big")) != count:
        notes.append(f"length_claim: the header claims {claimed} frames, there are {count}")
        patched = body[:claim_at] + struct.pack(">I", count) + body[claim_at + 4 :]
        extent = Extent(first.start + first.num_bytes, stop, patched.hex())
    num_samples = count * first.num_samples
    return Header("MP3", "MPEG_LAYER_III", first.rate_hz, first.channels, num_samples, (extent,), tuple(notes))


def parse_frame(head: bytes, start: int) -> Frame | None:
    """The layer III frame that these 4 bytes announce, if they do."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbps_index, rate_index = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate_index == 3 or kbps_index in (0, 15):
        return None
    rate_hz = _RATES_HZ[version][rate_index]
    num_samples = 1_152 if version == 3 else 576
    kbps = (_KBPS_1 if version == 3 else _KBPS_2)[kbps_index]
    num_bytes = num_samples * kbps * 125 // rate_hz + (head[2] >> 1 & 1)
    return Frame(start, num_bytes, num_samples, rate_hz, 1 if head[3] >> 6 == 3 else 2)


def _skip_id3(source: Source) -> int:
    """Where the audio may begin: behind the ID3v2 tags, which stay unread."""
    offset = 0
    while len(head := source.read_at(offset, 10)) == 10 and head[:3] == b"ID3":
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        offset += 10 + size + (10 if head[5] & 0x10 else 0)
    return offset


def _find_frame(source: Source, start: int, stop: int) -> Frame | None:
    """The first frame within 64 KiB that another like it follows."""
    offset, stop = start, min(start + _SEARCH_BYTES, stop)
    while offset < stop:
        frame = parse_frame(source.read_at(offset, 4), offset)
        if frame is not None and _is_followed(source, frame):
            return frame
        offset = _next_sync(source, offset)
    return None


def _next_sync(source: Source, offset: int) -> int:
    """Where after `offset` a frame may begin: at the next byte of ones, or 4 KiB on if there is none till then."""
    data = source.read_at(offset, 1 << 12)
    at = data.find(b"\xff", 1)
    return offset + (at if at > 0 else 1 << 12)


def _is_followed(source: Source, frame: Frame) -> bool:
    after = parse_frame(source.read_at(frame.start + frame.num_bytes, 4), 0)
    return after is not None and (after.rate_hz, after.channels) == (frame.rate_hz, frame.channels)


def _find_claim(body: bytes) -> int | None:
    """Where in the first frame its Xing, Info or VBRI header says the number of frames, if it does."""
    for name in (b"Xing", b"Info"):
        at = body.find(name, 4, 44)
        if at >= 0 and len(body) >= at + 12 and body[at + 7] & 1:
            return at + 8
    return 50 if body[36:40] == b"VBRI" and len(body) >= 54 else None


def _claiming_frame(like: bytes, count: int) -> bytes:
    """A silent first frame in the format of the frame `like`, with a Xing header that claims `count` frames."""
    # Bit rate index 9 is 128 or 80 kbit/s: long enough for the header at every rate. No CRC.
    head = bytes([like[0], like[1] | 1, 0x90 | like[2] & 0x0C, like[3]])
    frame = parse_frame(head, 0)
    assert frame is not None
    long, short = (32, 17) if frame.num_samples == 1_152 else (17, 9)
    side = bytes(long if frame.channels == 2 else short)
    return (head + side + b"Xing" + struct.pack(">II", 1, count)).ljust(frame.num_bytes, b"\0")


class _Found(NamedTuple):
    frames: int
    junk: int
    is_variable: bool


def _count_frames(source: Source, first: Frame, stop: int, max_seconds: float) -> _Found:
    """Frames, and bytes that are none, from the first frame on; refuses early what is over the limit of length."""
    count = junk = 0
    sizes: set[int] = set()
    offset = first.start
    while offset < stop:
        frame = parse_frame(source.read_at(offset, 4), offset)
        if frame is not None and offset + frame.num_bytes <= stop:
            if (frame.rate_hz, frame.channels) == (first.rate_hz, first.channels):
                offset, count = offset + frame.num_bytes, count + 1
                sizes.add(frame.num_bytes)
                if count % 4_096 == 0:
                    check_length(count * first.num_samples, first.rate_hz, max_seconds)
                continue
            if _is_followed(source, frame):
                what = f"changes from {first.rate_hz} Hz, {first.channels} channels"
                what += f" to {frame.rate_hz} Hz, {frame.channels} channels"
                raise InputError("rate_change", what, remedy="split it, or convert it to WAV")
        after = min(_next_sync(source, offset), stop)
        offset, junk = after, junk + after - offset
        if junk > MAX_JUNK_BYTES:
            what = f"more than {MAX_JUNK_BYTES} bytes of it are no MP3 frames"
            raise InputError("decode_error", what, remedy="download it again")
    return _Found(count, junk, max(sizes, default=0) - min(sizes, default=0) > 1)  # 1: the padding byte
