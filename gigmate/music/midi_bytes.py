"""A walk over the bytes of a MIDI file that trusts none of them, and leaves a clean copy for the real parser.

The copy holds notes, controls, programs, bends, tempi, signatures and track names, nothing else: every event with its
status, every note with its end, every length right. So no foreign byte sequence reaches the parser's C++.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gigmate.errors import InputError
from gigmate.music.midi_track import Piece, Track

MAX_SECONDS = 3600.0
"""Longest file, by its tempo map."""


@dataclass(frozen=True)
class MidiReport:
    """What the walk found.

    Args:
        num_events: of any kind.
        num_notes: notes that begin.
        duration_s: time of the last event that isn't an end of track.
        oddities: what was ignored or repaired, and how often.
    """

    num_events: int
    num_notes: int
    duration_s: float
    oddities: Mapping[str, int]


def clean_midi(data: bytes, where: object) -> tuple[bytes, MidiReport]:
    """A standard MIDI file with the same music, made of nothing but checked events.

    Args:
        data: the file.
        where: its name, for errors.

    Raises:
        InputError: midi_malformed, midi_division, midi_format, midi_too_long, midi_tempo, midi_events.
    """
    piece = Piece(str(where))
    kind, num_tracks, division, position = _header(data, piece)
    tracks: list[bytes] = []
    found = 0
    while found < num_tracks:
        name, end = data[position : position + 4], position + 8 + int.from_bytes(data[position + 4 : position + 8])
        if len(data) < position + 8:
            raise piece.malformed(f"{num_tracks} tracks promised, {found} there")
        if end > len(data):
            raise piece.malformed(f"chunk {name!r} claims {end - position - 8} bytes, {len(data) - position - 8} there")
        if name == b"MTrk":
            found += 1
            events = Track(data, position + 8, end, piece).clean()
            if events:
                tracks.append(b"MTrk" + len(events).to_bytes(4) + events)
        else:
            piece.oddities["unknown chunk"] += 1
        position = end
    if position < len(data):
        piece.oddities["bytes after the last track"] += 1
    report = MidiReport(piece.num_events, piece.num_notes, _duration_s(piece, division), piece.oddities)
    head = b"MThd" + (6).to_bytes(4) + kind.to_bytes(2) + len(tracks).to_bytes(2) + division.to_bytes(2)
    return head + b"".join(tracks), report


def _header(data: bytes, piece: Piece) -> tuple[int, int, int, int]:
    """Format, promised tracks, ticks a quarter, and where the first track begins."""
    size = int.from_bytes(data[4:8])
    if data[:4] != b"MThd" or len(data) < 14 or size < 6 or len(data) < 8 + size:
        raise piece.malformed(f"no MIDI header, the file begins with {data[:16]!r}")
    kind, num_tracks, division = (int.from_bytes(data[i : i + 2]) for i in (8, 10, 12))
    if kind > 1:
        raise InputError("midi_format", f"format is {kind}, 0 and 1 are taken", piece.where, "export as format 1")
    if division == 0 or division & 0x8000:
        what = "0" if division == 0 else "SMPTE time"
        raise InputError("midi_division", f"division is {what}, ticks a quarter are needed", piece.where)
    if num_tracks == 0 or len(data) == 8 + size:
        raise piece.malformed(f"a header alone, {num_tracks} tracks promised")
    return kind, num_tracks, division, 8 + size


def _duration_s(piece: Piece, division: int) -> float:
    """Seconds at the last event, by the tempo map.

    Raises:
        InputError: midi_too_long.
    """
    seconds, tick, microseconds = 0.0, 0, 500_000
    for next_tick, next_microseconds in sorted(piece.tempos):
        seconds += (next_tick - tick) * microseconds / division / 1e6
        tick, microseconds = next_tick, next_microseconds
    seconds += (piece.last_tick - tick) * microseconds / division / 1e6
    if seconds > MAX_SECONDS:
        raise InputError("midi_too_long", f"lasts {seconds:.0f} s, at most {MAX_SECONDS:.0f} s", piece.where, "cut it")
    return seconds
