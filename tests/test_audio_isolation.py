"""The decoder child: whatever happens to it, the parent lives, says so, and leaves nothing behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from audio_bytes import encoded, flac_claiming, float_wav, music, ogg_bomb
from mutated_audio import outcome
from reporting import Report

from gigmate.audio import isolation as audio_isolation
from gigmate.audio import read_audio
from gigmate.errors import InputError, MachineError

# A child whose decoder is replaced, but with its limits and its protocol.
STAND_IN = """
import importlib.util, json, os, socket, sys, time
sys.path[:] = json.loads(sys.argv[1])["path"]
import numpy as np
spec = importlib.util.spec_from_file_location("audio_child", {child!r})
audio_child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audio_child)
def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return error.strerror
    return "it worked"
def decode(fd, extents, kind, max_samples):
{body}
audio_child.decode = decode
audio_child.main()
"""
CHILD = audio_isolation.CHILD
SECOND = "np.zeros((kind[2], kind[3]), np.float32)"


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    path.write_bytes(encoded(music(), 24_000, "WAV", "PCM_16"))
    return path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def replace(*lines: str) -> None:
        body = "\n".join(f"    {line}" for line in lines)
        (tmp_path / "child.py").write_text(STAND_IN.format(body=body, child=str(CHILD)))
        monkeypatch.setattr(audio_isolation, "CHILD", tmp_path / "child.py")

    return replace


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["import ctypes", "ctypes.string_at(0)"], "Segmentation fault"),
        ([f"yield {SECOND}", "os.abort()"], "Aborted"),
        (["hoard = []", "while True: hoard.append(bytes(1 << 26))"], "died on it .an error."),
        (["os._exit(0)"], "no answer"),
        (["os.write(1, b'[1]')", "os._exit(0)"], "no sensible answer"),
        (["os.write(1, b'[' * 100_000)", "os._exit(0)"], "no answer"),
        (["raise audio_child.DecodeError('rm_rf', 'x')", "yield None"], "no sensible answer"),
        (["while True: os.write(1, b'x' * 65536)"], "hung"),
        (["yield np.zeros((max_samples + 40_000, kind[3]), np.float32)"], "died on it .an error."),
    ],
)
def test_a_dying_decoder_is_reported(song: Path, stand_in, lines: list[str], said: str, report: Report) -> None:
    stand_in(*lines)
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    with pytest.raises(InputError, match=rf"GM-decoder_crash\]: .*{said}"):
        read_audio(song, max_seconds=10)
    if descriptors:
        report("p12_descriptors_leaked", len(os.listdir("/proc/self/fd")) - descriptors)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("hang", ["time.sleep(60)", "while True: pass"])
@pytest.mark.parametrize("first", ["pass", f"yield {SECOND}"])
def test_a_hanging_decoder_is_killed_at_the_limit(
    song: Path, stand_in, monkeypatch: pytest.MonkeyPatch, first: str, hang: str, report: Report
) -> None:
    monkeypatch.setattr(audio_isolation, "STALL_S", 0.7)
    stand_in(first, hang, "yield None")
    begin_s = time.monotonic()
    with pytest.raises(InputError, match=r"GM-decoder_crash\]: the decoder hung for 0.7 s"):
        read_audio(song)
    report("p12_hang_killed_after_limit", time.monotonic() - begin_s - 0.7, "s")
    assert time.monotonic() - begin_s < 1.7 + 0.7  # start of the child, stall, one second


def test_the_limit_is_ten_seconds() -> None:
    assert audio_isolation.STALL_S == 10


def test_the_child_can_open_nothing(song: Path, stand_in) -> None:
    stand_in(
        "found = tried(lambda: open('/etc/hostname')), tried(socket.socket), tried(os.pipe)",
        "raise audio_child.DecodeError('decode_error', repr(set(found)))",
        "yield None",
    )
    with pytest.raises(InputError, match=r"\{'Too many open files'\}"):
        read_audio(song)


def test_the_child_has_no_more_memory_than_it_needs(song: Path, stand_in) -> None:
    stand_in(
        "import resource",
        "limits = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]",
        "raise audio_child.DecodeError('decode_error', repr(limits))",
        "yield None",
    )
    with pytest.raises(InputError, match=rf"\[\({256 << 20}, {256 << 20}\), \(25, 25\)\]"):
        read_audio(song, max_seconds=100)


def test_nothing_of_our_environment_reaches_the_child(song: Path, stand_in, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGMATE_SECRET", "password")
    stand_in("raise audio_child.DecodeError('decode_error', repr('GIGMATE_SECRET' in os.environ))", "yield None")
    with pytest.raises(InputError, match=r"decode_error\]: False"):
        read_audio(song)


def test_samples_of_the_child_are_judged_by_the_parent(song: Path, stand_in) -> None:
    stand_in("yield np.full((12_000, 1), np.nan, np.float32)")
    with pytest.raises(InputError, match=r"GM-non_finite\]: sample 0"):
        read_audio(song)


def test_a_child_that_cannot_be_started_is_the_machines_fault(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(MachineError, match=r"GM-decoder\]: can't run the decoder process .Resource.*song\.wav"):
        read_audio(song)


def test_no_memory_for_the_samples_is_the_machines_fault(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gigmate.audio import io as audio

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(audio, "decode_isolated", refuse)
    with pytest.raises(MachineError, match=r"GM-memory\]"):
        read_audio(song)


def test_more_samples_than_allowed_are_not_taken(song: Path, stand_in) -> None:
    stand_in("yield np.zeros((max_samples + 5_000, kind[3]), np.float32)")
    assert read_audio(song, max_seconds=1).wave.shape == (1, 24_000)


def test_the_library_keeps_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = bytearray(encoded(music(3.0), 24_000, "MP3", "MPEG_LAYER_III"))
    for at in range(600, len(file) - 8, 97):
        file[at + 6] ^= 0xFF
    (tmp_path / "a.mp3").write_bytes(bytes(file))
    assert outcome(tmp_path / "a.mp3", isolated=True) in ("taken", "decode_error")
    assert capfd.readouterr() == ("", "")


BOMB_BYTES = 10 << 20


def _bomb(name: str) -> bytes:
    silence = np.zeros((1, 48_000 * 8), np.float32)
    if name == "flac":
        return flac_claiming(encoded(silence, 48_000, "FLAC", "PCM_16"), (1 << 36) - 1).ljust(BOMB_BYTES, b"\0")
    if name == "mp3":
        file = encoded(np.zeros((1, 8_000 * 8), np.float32), 8_000, "MP3", "MPEG_LAYER_III")
        frame_bytes = file.index(b"\xff\xe3", 1)
        return file[frame_bytes:] * (BOMB_BYTES // (len(file) - frame_bytes))
    rate, subtype, *lie = {"vorbis": (8_000, "VORBIS"), "opus": (48_000, "OPUS")}.get(
        name, (8_000, "VORBIS", 8_000 * 599)
    )
    return ogg_bomb(encoded(np.zeros((1, rate * 120), np.float32), rate, "OGG", subtype), BOMB_BYTES, *lie)


# In a process of its own, so that peak memory is that of this one file; prints the code, CPU seconds of
# both processes (other work on the machine doesn't count), peak KiB.
MEASURE = """
import os, re, sys
sys.path[:0] = [{repo!r}]
from gigmate.audio import inspect as audio_inspect
from gigmate.audio import read_audio
from gigmate.errors import InputError
if {is_gate_open}:
    audio_inspect.check_length = lambda *_: None
begin_s, code = sum(os.times()[:4]), "taken"
try:
    read_audio(sys.argv[1], max_seconds=600)
except InputError as error:
    code = error.code
peak = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]
sys.stdout.write(f"{{code}} {{sum(os.times()[:4]) - begin_s}} {{peak}}")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "code", "is_gate_open"),
    [
        ("flac", "too_long", False),
        ("vorbis", "too_long", False),
        ("vorbis", "too_long", True),  # stopped by counting while decoding
        ("lying vorbis", "bad_header", False),
        ("opus", "too_long", False),
        ("opus", "too_long", True),
        ("mp3", "too_long", False),
    ],
)
def test_bombs_are_refused_soon_and_cheaply(
    tmp_path: Path, repo: Path, name: str, code: str, is_gate_open: bool, report: Report
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(_bomb(name))
    assert path.stat().st_size > BOMB_BYTES * 0.99
    command = [sys.executable, "-c", MEASURE.format(repo=str(repo), is_gate_open=is_gate_open), str(path)]
    found, seconds, peak_kib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    report("p13_bomb_seconds", float(seconds), "s CPU")
    report("p13_bomb_peak_parent", int(peak_kib) >> 10, "MiB")
    report("p13_bomb_limit_child", audio_isolation.MEMORY_BYTES >> 20, "MiB")
    assert found == code
    assert float(seconds) <= 2 * 1.5  # on a busy machine CPU seconds are slower too
    assert max(int(peak_kib) << 10, audio_isolation.MEMORY_BYTES) <= 256 << 20


def test_a_good_float_file_crosses_unharmed(tmp_path: Path) -> None:
    wave = music(4.0, 24_000, 3)
    (tmp_path / "a.wav").write_bytes(float_wav(wave))
    assert np.array_equal(read_audio(tmp_path / "a.wav").wave, wave)
