"""One track of a MIDI file, event by event: what is checked, what is kept, what is mended."""

from collections import Counter
from dataclasses import dataclass, field

from gigmate.errors import InputError, printable

MAX_EVENTS = 200_000
MIN_BPM, MAX_BPM = 10.0, 500.0
MAX_TEXT = 256
"""Limits of a MIDI file: events of any kind, tempi, characters of a name."""

_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}  # by the upper half of the status
_KEPT = {0x8, 0x9, 0xB, 0xC, 0xE}  # notes, controls, programs, bends; what is pressed after is no note
_MAX_DELTA = 0x0FFFFFFF
_BYTES = [bytes((value,)) for value in range(0x80)]


@dataclass
class Piece:
    """What is collected over all tracks of a file.

    Args:
        where: the file, for errors.
        num_events: of any kind.
        num_notes: notes that begin.
        last_tick: of the last event that isn't an end of track.
        tempos: (tick, microseconds a quarter).
        oddities: what was ignored or mended, and how often.
    """

    where: str
    num_events: int = 0
    num_notes: int = 0
    last_tick: int = 0
    tempos: list[tuple[int, int]] = field(default_factory=list)
    oddities: Counter[str] = field(default_factory=Counter)

    def malformed(self, what: str) -> InputError:
        """The error to raise about bytes that make no sense."""
        return InputError("midi_malformed", what, self.where, "export the file anew as standard MIDI, format 0 or 1")


class Track:
    """One track's walk: reads between `position` and `end`, writes the clean events to `out`."""

    def __init__(self, data: bytes, position: int, end: int, piece: Piece) -> None:
        self.data, self.position, self.end, self.piece = data, position, end, piece
        self.out = bytearray()
        self.tick = self.written_tick = 0
        self.open: dict[tuple[int, int], list[int]] = {}  # (channel, pitch) -> ticks of the notes that sound

    def clean(self) -> bytes:
        """The clean events with an end of track; empty if there are none.

        Raises:
            InputError: as `clean_midi`.
        """
        status, piece = 0, self.piece
        while self.position < self.end:
            self.tick += self._number()
            piece.num_events += 1
            if piece.num_events > MAX_EVENTS:
                raise InputError("midi_events", f"more than {MAX_EVENTS} events", piece.where, "thin or split it")
            byte = self._byte()
            if byte == 0xFF:
                if self._meta():
                    break
            elif byte in (0xF0, 0xF7):
                self._skip(self._number())
                piece.oddities["system exclusive"] += 1
            elif byte >= 0xF0:
                raise piece.malformed(f"status {byte:#x} at byte {self.position - 1} has no place in a file")
            elif byte >= 0x80:
                status = byte
                self._channel(status, self._data_byte())
            elif status:
                self._channel(status, byte)
            else:
                raise piece.malformed(f"running status without a status at byte {self.position - 1}")
            piece.last_tick = max(piece.last_tick, self.tick)
        else:
            piece.oddities["no end of track"] += 1
        return self._closed()

    def _closed(self) -> bytes:
        if self.position < self.end:
            self.piece.oddities["bytes after the end of track"] += 1
        for (channel, pitch), ticks in self.open.items():
            for _ in ticks:
                self.piece.oddities["note never ended"] += 1
                self._write(bytes((0x80 | channel, pitch, 0)))
        if self.out:
            self._write(b"\xff\x2f\x00")
        return bytes(self.out)

    def _channel(self, status: int, first: int) -> None:
        kind = status >> 4
        second = self._data_byte() if _DATA_BYTES[kind] == 2 else None
        if kind not in _KEPT:
            self.piece.oddities["aftertouch"] += 1
            return
        if kind in (0x8, 0x9) and not self._pair(status & 0xF, first, kind == 0x9 and bool(second)):
            return
        self._write(bytes((status, first) if second is None else (status, first, second)))

    def _pair(self, channel: int, pitch: int, is_on: bool) -> bool:
        """Keep account of the notes that sound; False for an end without a beginning."""
        sounding = self.open.setdefault((channel, pitch), [])
        if is_on:
            self.piece.num_notes += 1
            if sounding:
                self.piece.oddities["overlap of one pitch"] += 1
            sounding.append(self.tick)
        elif not sounding:
            self.piece.oddities["end without a note"] += 1
            return False
        elif sounding.pop(0) == self.tick:
            self.piece.oddities["note without length"] += 1
        return True

    def _meta(self) -> bool:
        """Read a meta event, write it if it counts; True at the end of the track."""
        kind, size = self._byte(), self._number()
        start = self.position
        self._skip(size)
        content = self.data[start : min(start + size, start + 4 * MAX_TEXT)]
        if kind == 0x2F:
            return True
        if kind == 0x51:
            self._tempo(content)
        elif kind == 0x58 and size >= 2 and content[0] >= 1 and content[1] <= 6:
            self._write(b"\xff\x58\x04" + content[:2] + b"\x18\x08")
        elif kind == 0x59 and size == 2 and content[1] <= 1 and (content[0] <= 7 or content[0] >= 249):
            self._write(b"\xff\x59\x02" + content)
        elif kind == 0x03:
            name = printable(content.decode("utf-8", "replace"), MAX_TEXT).encode()[:MAX_TEXT]
            self._write(b"\xff\x03" + varlen(len(name)) + name)
        else:
            self.piece.oddities["senseless signature" if kind in (0x58, 0x59) else "text or other meta"] += 1
        return False

    def _tempo(self, content: bytes) -> None:
        microseconds = int.from_bytes(content)
        if len(content) != 3:
            raise self.piece.malformed(f"a tempo of {len(content)} bytes, 3 are needed")
        if not 60e6 / MAX_BPM <= microseconds <= 60e6 / MIN_BPM:
            tempo = f"{60e6 / microseconds:.1f} bpm" if microseconds else "infinite"
            limits = f"{MIN_BPM:.0f}-{MAX_BPM:.0f} bpm are taken"
            raise InputError("midi_tempo", f"tempo is {tempo}, {limits}", self.piece.where, "mend its tempo track")
        self.piece.tempos.append((self.tick, microseconds))
        self._write(b"\xff\x51\x03" + content)

    def _write(self, event: bytes) -> None:
        delta = self.tick - self.written_tick
        while delta > _MAX_DELTA:  # dropped events may have stood in between: bridge with an empty text
            self.out += varlen(_MAX_DELTA) + b"\xff\x01\x00"
            delta -= _MAX_DELTA
        self.out += varlen(delta) + event
        self.written_tick = self.tick

    def _byte(self) -> int:
        if self.position >= self.end:
            raise self.piece.malformed(f"a track ends amid an event at byte {self.position}")
        self.position += 1
        return self.data[self.position - 1]

    def _data_byte(self) -> int:
        byte = self._byte()
        if byte > 127:
            raise self.piece.malformed(f"{byte:#x} at byte {self.position - 1}, where 0..127 is needed")
        return byte

    def _number(self) -> int:
        """A length or time in 7-bit groups, four at most."""
        if self.position < self.end and (value := self.data[self.position]) < 0x80:  # most are of one
            self.position += 1
            return value
        value = 0
        for _ in range(4):
            byte = self._byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise self.piece.malformed(f"a number of more than 4 bytes at byte {self.position - 4}")

    def _skip(self, size: int) -> None:
        if size > self.end - self.position:
            raise self.piece.malformed(f"an event of {size} bytes at byte {self.position} leaves its track")
        self.position += size


def varlen(value: int) -> bytes:
    """A number in 7-bit groups, the highest first, as MIDI writes lengths and times."""
    if value < 0x80:
        return _BYTES[value]
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
