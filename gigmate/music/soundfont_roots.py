"""Puts a SoundFont's root keys where symusic's synthesizer reads them.

In a SoundFont, a zone of an instrument may say at which key its sample sounds as recorded (generator 58,
overridingRootKey), by how much the pitch follows the keys (56, scaleTuning), and by how many semitones it is moved (51,
coarseTune). symusic 0.5 goes by the key in the sample's own header alone, and moves by 1.2 semitones at most: FluidR3's
piano, whose zones all overrule the header, came out up to 17 semitones off, and every song rendered with it was out of
tune with itself. So each pair of sample and root that zones use gets a header of its own, and the zones point to that.

Source: SoundFont Technical Specification 2.04, sections 7 and 8.1.
"""

import struct
from itertools import pairwise

_BAG = struct.Struct("<HH")
_GENERATOR = struct.Struct("<HH")
_INSTRUMENT = struct.Struct("<20sH")
_HEADER_BYTES, _HEADER_KEY = 46, 40  # of a sample: 20 of name, 5 numbers of 4 bytes, then the key it was recorded at
_KEY_RANGE, _COARSE, _SAMPLE, _SCALE, _ROOT = 43, 51, 53, 56, 58
_MAX_SAMPLES = 0xFFFF

Zone = dict[int, int]
"""Amounts by generator."""


def with_roots_in_headers(font: bytes) -> bytes:
    """A SoundFont that sounds in tune with a reader of headers alone; zones keep all else.

    Args:
        font: the content of an .sf2 or .sf3 file.

    Raises:
        ValueError: it isn't a SoundFont, or a damaged one.
    """
    content = bytearray(font)
    try:
        return _moved(content)
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a whole SoundFont: {error}") from error


def _moved(content: bytearray) -> bytes:
    parts = content.rfind(b"pdta")
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk" or parts < 0:
        raise ValueError("not a SoundFont: no RIFF header of kind sfbk, or no pdta list")
    inst, ibag, igen, shdr = (_chunk(content, name, parts) for name in (b"inst", b"ibag", b"igen", b"shdr"))
    if shdr[1] != len(content) and shdr[1] + 1 != len(content):
        raise ValueError("not a SoundFont that can be mended: its sample headers aren't the last part")
    headers = [bytes(content[at : at + _HEADER_BYTES]) for at in range(*shdr, _HEADER_BYTES)]
    last = headers.pop()
    numbers: dict[tuple[int, int], int] = {}
    for place, zone in _sample_zones(content, inst, ibag, igen):
        sample = zone[_SAMPLE]
        root = _root(zone, headers[sample][_HEADER_KEY])
        if (sample, root) not in numbers:
            numbers[sample, root] = len(headers)
            header = bytearray(headers[sample])
            header[_HEADER_KEY] = root
            headers.append(bytes(header))
        _GENERATOR.pack_into(content, place, _SAMPLE, numbers[sample, root])
    for place in range(*igen, _GENERATOR.size):
        if _GENERATOR.unpack_from(content, place)[0] == _COARSE:
            _GENERATOR.pack_into(content, place, _COARSE, 0)  # it is in the root now
    if len(headers) >= _MAX_SAMPLES:
        raise ValueError(f"{len(headers)} samples and roots, but a SoundFont holds at most {_MAX_SAMPLES}")
    return _with_headers(content, shdr[0], parts, b"".join((*headers, last)))


def _chunk(content: bytearray, name: bytes, start: int) -> tuple[int, int]:
    """First and last byte + 1 of what the chunk `name` holds."""
    at = content.find(name, start)
    if at < 0:
        raise ValueError(f"not a whole SoundFont: no chunk {name.decode()}")
    (size,) = struct.unpack_from("<I", content, at + 4)
    return at + 8, at + 8 + size


def _sample_zones(
    content: bytearray, inst: tuple[int, int], ibag: tuple[int, int], igen: tuple[int, int]
) -> list[tuple[int, Zone]]:
    """Where each zone names its sample, and its generators with those of its instrument's global zone."""
    firsts = [_INSTRUMENT.unpack_from(content, at)[1] for at in range(*inst, _INSTRUMENT.size)]
    bags = [_BAG.unpack_from(content, at)[0] for at in range(*ibag, _BAG.size)]
    found = []
    for first, end in pairwise(firsts):
        shared: Zone = {}
        for bag in range(first, end):
            places = range(igen[0] + bags[bag] * _GENERATOR.size, igen[0] + bags[bag + 1] * _GENERATOR.size, 4)
            zone: Zone = dict(_GENERATOR.unpack_from(content, place) for place in places)
            if _SAMPLE in zone:
                found.append((places[-1], {**shared, **zone}))
            elif bag == first:
                shared = zone
    return found


def _root(zone: Zone, recorded: int) -> int:
    """The key at which the sample sounds as recorded, for a reader that lets the pitch follow the keys in full.

    Where it follows by less (drums, by nothing), that is exact in the middle of the zone's keys.
    """
    root = zone.get(_ROOT, recorded)
    root = root if root <= 127 else recorded
    low, high = divmod(zone.get(_KEY_RANGE, 127 << 8), 256)[::-1]
    middle = (low + high) / 2
    scale, moved = zone.get(_SCALE, 100) / 100, zone.get(_COARSE, 0)
    moved -= (moved >> 15) << 16  # amounts are read unsigned
    return min(127, max(0, round(middle - (middle - root) * scale - moved)))


def _with_headers(content: bytearray, at: int, parts: int, headers: bytes) -> bytes:
    grown = content[:at] + headers
    struct.pack_into("<I", grown, at - 4, len(headers))
    struct.pack_into("<I", grown, parts - 4, len(grown) - parts)
    struct.pack_into("<I", grown, 4, len(grown) - 8)
    return bytes(grown)
