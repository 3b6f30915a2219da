"""Zip files of strangers: the table of RELIABILITY's section on archives, and that nothing is left behind."""

import io
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from audio_bytes import encoded, music
from machine import within
from reporting import Report

from gigmate.archive import extract
from gigmate.archive import unpack as archive
from gigmate.archive.directory import Limits
from gigmate.errors import InputError, MachineError

SONG = encoded(music(0.1), 24_000, "WAV", "PCM_16")


def zipped(entries: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in entries:
            file.writestr(name, content)
    return buffer.getvalue()


GOOD = zipped([("a.wav", SONG)])


def _renamed(name: bytes) -> bytes:
    """An archive whose one entry bears this name, which Python's own writer would have changed."""
    return zipped([("x" * len(name), SONG)]).replace(b"x" * len(name), name)


def _with_mode(mode: int, name: str = "a.wav") -> bytes:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return zipped([(info, b"/etc/passwd"), ("b.wav", SONG)])


def _patched(file: bytes, local: dict[int, bytes], central: dict[int, bytes]) -> bytes:
    """`file` with bytes replaced in the local and in the central head of its only entry."""
    out = bytearray(file)
    start = file.index(b"PK\x01\x02")
    for base, patches in ((0, local), (start, central)):
        for at, value in patches.items():
            out[base + at : base + at + len(value)] = value
    return bytes(out)


def _sized(num_bytes: int) -> bytes:
    claim = struct.pack("<I", num_bytes)
    return _patched(zipped([("a.wav", SONG)]), {22: claim}, {24: claim})


def _shifted(num_bytes: int) -> bytes:
    """An archive with room before its directory, and an end record that knows."""
    at, end = GOOD.index(b"PK\1\2"), GOOD.index(b"PK\5\6")
    return GOOD[:at] + bytes(num_bytes) + GOOD[at : end + 16] + struct.pack("<IH", at + num_bytes, 0)


def _padded(junk: bytes) -> bytes:
    """An archive with `junk` behind the end of the deflated stream, but within the packed size."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(SONG) + packer.flush() + junk
    shared = struct.pack("<HHHHIIIHH", 0, 8, 0, 0, zlib.crc32(SONG), len(packed), len(SONG), 5, 0)
    local = b"PK\x03\x04" + struct.pack("<H", 20) + shared + b"a.wav" + packed
    central = b"PK\x01\x02" + struct.pack("<HH", 20, 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"a.wav"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def _overlapping() -> bytes:
    """50 entries of the directory over the bytes of one."""
    one = zipped([("a.wav", SONG)])
    at, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    directory = one[at:end] * 50
    return one[:at] + directory + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 50, 50, len(directory), at, 0)


def _crowded(count: int) -> bytes:
    head = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    central = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(central) * count, len(head), 0)
    return head + central * count + end


CASES = {
    "up and out": ("traversal", zipped([("a.wav", SONG), ("../../evil.txt", b"x")])),
    "up with backslashes": ("traversal", _renamed(b"..\\..\\evil.wav")),
    "up in the middle": ("traversal", zipped([("a/../b.wav", SONG)])),
    "absolute": ("absolute", _renamed(b"/etc/evil.wav")),
    "drive": ("absolute", _renamed(b"C:evil.wav")),
    "drive and backslash": ("absolute", _renamed(b"c:\\evil.wav")),
    "UNC": ("absolute", _renamed(b"\\\\host\\share.wav")),
    "symlink": ("link", _with_mode(stat.S_IFLNK | 0o777)),
    "pipe": ("link", _with_mode(stat.S_IFIFO | 0o644)),
    "NUL in a name": ("name", _renamed(b"a.wav\0.txt")),
    "newline in a name": ("name", _renamed(b"a\n.wav")),
    "backslash in a name": ("name", _renamed(b"a\\b.wav")),
    "direction override": ("name", zipped([("a\u202evaw.exe", SONG)])),
    "device": ("name", zipped([("CON", SONG)])),
    "device with ending": ("name", zipped([("songs/aux.wav", SONG)])),
    "trailing dot": ("name", zipped([("a.wav.", SONG)])),
    "trailing space": ("name", zipped([("a /b.wav", SONG)])),
    "colon": ("name", zipped([("song:stream.wav", SONG)])),
    "dot": ("name", zipped([("./a.wav", SONG)])),
    "two slashes": ("name", zipped([("a//b.wav", SONG)])),
    "long name": ("name", zipped([("a" * 250 + ".wav", SONG)])),
    "bad UTF-8": ("name", _patched(_renamed(b"a\xff.wav"), {6: b"\0\x08"}, {8: b"\0\x08"})),
    "case": ("collision", zipped([("Song.wav", SONG), ("song.WAV", SONG)])),
    "sharp s": ("collision", zipped([("stra\u00dfe.wav", SONG), ("strasse.wav", SONG)])),
    "accents": ("collision", zipped([("\u00e9.wav", SONG), ("e\u0301.wav", SONG)])),
    "invisible character": ("collision", zipped([("a.wav", SONG), ("a\u200b.wav", SONG)])),
    "file and folder": ("collision", zipped([("a", SONG), ("A/b.wav", SONG)])),
    "archive inside": ("nested", zipped([("a.wav", SONG), ("more.zip", GOOD)])),
    "archive inside, by another name": ("nested", zipped([("a.wav", SONG), ("more.wav", GOOD)])),
    "junk in front": ("polyglot", b"#!/bin/sh\n" + GOOD),
    "zip behind a WAV": ("polyglot", SONG + GOOD),
    "junk behind": ("polyglot", GOOD + b"junk"),
    "little junk before the directory": ("polyglot", _shifted(17)),
    "junk between": ("polyglot", GOOD.replace(b"PK\1\2", bytes(99) + b"PK\1\2")),
    "1028 times": ("ratio", zipped([("a.wav", bytes(8 << 20))])),
    "100 000 entries": ("entries", _crowded(65_534)),
    "packed bytes behind the end of a stream": ("size_lie", _padded(b"junk")),
    "over the limit by one": ("entries", _crowded(20_001)),
    "50 over the same bytes": ("overlap", _overlapping()),
    "more than is listed": ("size_lie", _sized(100)),
    "less than is listed": ("size_lie", _sized(len(SONG) + 1)),
    "stored, other size": ("size_lie", _patched(zipped([("a.wav", SONG)], 0), {22: b"\1\0\0\0"}, {24: b"\1\0\0\0"})),
    "heads that differ in size": ("size_lie", _patched(GOOD, {22: b"\1\0\0\0"}, {})),
    "heads that differ in name": ("not_zip", _patched(GOOD, {30: b"b"}, {})),
    "sum": ("crc", _patched(GOOD, {14: b"\1\2\3\4"}, {16: b"\1\2\3\4"})),
    "damaged bytes": ("(crc|size_lie)", _patched(GOOD, {60: b"\xff\xff\xff\xff\xff\xff"}, {})),
    "password": ("encrypted", _patched(GOOD, {6: b"\1\0"}, {8: b"\1\0"})),
    "bzip2": ("method", zipped([("a.wav", SONG)], zipfile.ZIP_BZIP2)),
    "lzma": ("method", zipped([("a.wav", SONG)], zipfile.ZIP_LZMA)),
    "cut": ("not_zip", GOOD[: len(GOOD) // 2]),
    "cut at the end": ("not_zip", GOOD[:-5]),
    "empty": ("not_zip", b""),
    "no entries": ("not_zip", zipped([])),
    "something else": ("not_zip", SONG),
    "__MACOSX only": ("no_audio", zipped([("__MACOSX/._a.wav", b"x" * 90), (".DS_Store", b"y")])),
    "text only": ("no_audio", zipped([("readme.txt", b"hello")])),
}  # fmt: skip


@pytest.mark.parametrize(("code", "file"), CASES.values(), ids=list(CASES))
def test_bad_archives_are_refused_and_nothing_is_left(tmp_path: Path, code: str, file: bytes, report: Report) -> None:
    path, target = tmp_path / "songs.zip", tmp_path / "out" / "deep"
    path.write_bytes(file)
    target.mkdir(parents=True)
    with within(1.0) as spent, pytest.raises(InputError, match=rf"GM-{code}\]: .*songs\.zip") as caught:
        extract(path, target)
    report("p14_refused_after", spent.cpu_s, "s CPU")
    assert len(str(caught.value).splitlines()) == 1
    report("p14_files_written", len(set(tmp_path.rglob("*")) - {tmp_path / "out", target, path}))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "out", target, path]
    assert path.read_bytes() == file


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped([("a.wav", SONG), ("a.wav", b"other")]))
    with pytest.raises(InputError, match=r"GM-duplicate\]: entry 'a\.wav'"):
        extract(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_good_archives_come_out_whole(tmp_path: Path, method: int) -> None:
    big = os.urandom(300_000) + bytes(900_000)
    songs = {"a.wav": SONG, "disc 1/ü 🎸.flac": big, "disc 1/notes.txt": b"", "disc 2/a.wav": SONG}
    extras = [("disc 2/", b""), ("__MACOSX/._a.wav", b"x"), (".DS_Store", b"y")]
    (tmp_path / "a.zip").write_bytes(zipped([*songs.items(), *extras], method))
    folder = extract(tmp_path / "a.zip", tmp_path / "out")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == songs
    assert list((tmp_path / "out").iterdir()) == [folder]


def test_an_archive_written_to_a_pipe_comes_out_whole(tmp_path: Path) -> None:
    """Its local heads have no sizes; they follow the data in descriptors."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError("a pipe")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.wav", SONG)
        file.writestr("b.wav", SONG * 2)
    (tmp_path / "a.zip").write_bytes(pipe.getvalue())
    folder = extract(tmp_path / "a.zip", tmp_path / "out")
    assert (folder / "b.wav").read_bytes() == SONG * 2


def test_two_archives_with_the_same_names_get_folders_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "1.zip").write_bytes(zipped([("a.wav", SONG)]))
    (tmp_path / "2.zip").write_bytes(zipped([("a.wav", SONG * 2)]))
    one, two = (extract(tmp_path / f"{i}.zip", tmp_path / "out") for i in (1, 2))
    assert one != two
    assert (one / "a.wav").read_bytes() == SONG
    assert (two / "a.wav").read_bytes() == SONG * 2


def test_the_same_archive_again_is_the_same_folder_untouched(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(GOOD)
    folder = extract(tmp_path / "a.zip", tmp_path / "out")
    before = (folder / "a.wav").stat()
    assert extract(tmp_path / "a.zip", tmp_path / "out") == folder
    assert (folder / "a.wav").stat() == before


def test_limits_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped([("a.wav", bytes(2 << 20)), ("b.wav", SONG)]))
    with pytest.raises(InputError, match="GM-ratio"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(InputError, match=r"GM-too_large\]: \d+ bytes unpacked, the limit is 2000000"):
        extract(tmp_path / "a.zip", tmp_path / "out", limits=Limits(max_bytes=2_000_000, max_ratio=2_000))
    with pytest.raises(InputError, match="GM-entries"):
        extract(tmp_path / "a.zip", tmp_path / "out", limits=Limits(max_entries=1))
    assert extract(tmp_path / "a.zip", tmp_path / "out", limits=Limits(max_ratio=2_000)).is_dir()


def test_too_small_a_disk_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(GOOD)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(MachineError, match=rf"needs {len(SONG)} bytes, 10 are free"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("call", range(4))
def test_a_disk_that_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped([("a.wav", SONG), ("b/c.wav", SONG)]))
    calls = iter(range(99))

    def failing(real):
        def run(*arguments, **named):
            if next(calls) == call:
                raise OSError(28, "No space left on device")
            return real(*arguments, **named)

        return run

    monkeypatch.setattr(archive, "_write", failing(archive._write))
    monkeypatch.setattr(os, "rename", failing(os.rename))
    monkeypatch.setattr(archive.tempfile, "mkdtemp", failing(archive.tempfile.mkdtemp))
    with pytest.raises(MachineError, match="No space left"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert (tmp_path / "a.zip").exists()


def test_no_byte_beyond_the_listed_size_is_written(tmp_path: Path) -> None:
    """Another megabyte than listed: what is written until it shows must stay within what was listed."""
    content = zlib.compressobj(wbits=-15)
    packed = content.compress(os.urandom(1 << 20)) + content.flush()
    entry = archive.Entry(b"a.wav", False, 8, 0, len(packed), 1_000, 0)
    (tmp_path / "packed").write_bytes(packed)
    written = []
    with archive.open_source(tmp_path / "packed") as source:
        blocks = archive._unpacked(source, entry, "a.wav")
        with pytest.raises(InputError, match="GM-size_lie"):
            written.extend(blocks)
    assert sum(map(len, written)) <= 1_000
