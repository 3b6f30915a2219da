"""`generate.py` as a person uses it: good songs of any kind, and bad input in one line with its exit code."""

import errno
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from reporting import Report
from test_accompanist import player  # noqa: F401 (a fixture)

from gigmate.accompanist import SHIPPED, Accompanist
from gigmate.audio import read_audio, write_wav
from gigmate.checkpoint import lm_bundle
from gigmate.codec.compact import SHIPPED as CODEC
from gigmate.config.cli import command

Run = Callable[..., tuple[int, str, Path]]


def music(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    beat = np.sin(2 * np.pi * 110 * t) * np.exp(-8 * (t % 0.5))
    return np.tile((0.4 * beat).astype(np.float32), (channels, 1))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in an empty folder: exit code, what stderr got, the folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, Path]:
        code = command("generate", "gigmate.offline:run").run(list(arguments))
        return code, capfd.readouterr().err, tmp_path

    return call


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 44_100, 2), ("b.flac", 16_000, 1), ("c.ogg", 48_000, 2), ("d.mp3", 32_000, 1)],
)
def test_output_has_the_length_and_rate_of_the_song(run: Run, tmp_path: Path, name: str, rate: int, channels: int):
    soundfile.write(tmp_path / name, music(1.3, rate, channels).T, rate)
    song = read_audio(tmp_path / name)
    has_fader = channels == 1
    code, said, folder = run(f"input={name}", "out=out", "instrument=bass", "seed=3", f"fader={has_fader}")
    assert code == 0, said
    for result in ("stem.wav", "mix.wav"):
        made = read_audio(folder / "out" / result)
        assert (made.wave.shape, made.sample_rate) == (song.wave.shape, song.sample_rate)
    report = json.loads((folder / "out" / "report.json").read_text())
    assert (report["instrument"], report["seed"], report["song"]) == ("bass", 3, name)
    assert (report["fader_db"] is not None) == has_fader
    assert (folder / "out" / "stem.mid").read_bytes().startswith(b"MThd")


def test_a_folder_gives_a_folder_a_song_and_a_bad_song_is_set_aside(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in ("one", "two"):
        write_wav(tmp_path / "songs" / f"{name}.wav", music(0.5, 24_000), 24_000)
    (tmp_path / "songs" / "bad.wav").write_bytes(b"<html>")
    code, _, folder = run("input=songs", "out=out", "beats=none")
    assert code == 0
    assert "set aside bad.wav: error[GM-unrecognised]" in caplog.text
    assert sorted(p.relative_to(folder / "out").as_posix() for p in (folder / "out").rglob("*.wav")) == [
        "one/mix.wav",
        "one/stem.wav",
        "two/mix.wav",
        "two/stem.wav",
    ]


def test_a_continuation_from_the_command_line(run: Run, tmp_path: Path):
    write_wav(tmp_path / "song.wav", music(2, 24_000), 24_000)
    code, said, folder = run("task=continue", "input=song.wav", "seconds=1", "out=out")
    assert code == 0, said
    assert read_audio(folder / "out" / "mix.wav").wave.shape == (1, 72_000)
    assert read_audio(folder / "out" / "stem.wav").wave.shape == (1, 24_000)


def wav_bytes(wave: np.ndarray, rate: int, subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave.T, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def with_rate(rate: int) -> bytes:
    content = bytearray(wav_bytes(music(0.1, 24_000), 24_000, "PCM_16"))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


NAN = music(0.5, 24_000)
NAN[0, 100] = np.nan
BAD_SONGS = {
    "not audio": (b"<html>no</html>", "GM-unrecognised"),
    "empty": (b"", "GM-empty"),
    "truncated": (wav_bytes(music(1, 24_000), 24_000)[:5_000], "GM-truncated"),
    "NaN": (wav_bytes(NAN, 24_000), "GM-non_finite"),
    "1 Hz": (with_rate(1), "GM-bad_rate"),
    "768 kHz": (with_rate(768_000), "GM-bad_rate"),
    "0 s": (wav_bytes(np.zeros((1, 0), np.float32), 24_000), "GM-zero_frames"),
}


@pytest.mark.parametrize("case", BAD_SONGS)
def test_a_bad_song_is_one_line_and_exit_3_and_leaves_nothing(run: Run, tmp_path: Path, case: str):
    content, code = BAD_SONGS[case]
    (tmp_path / "song.wav").write_bytes(content)
    exit_code, said, folder = run("input=song.wav", "out=out")
    assert exit_code == 3
    assert said.count("\n") == 1
    assert f"error[{code}]" in said
    assert [p.name for p in folder.iterdir()] == ["song.wav"]


def test_too_long_no_songs_and_no_file_are_exit_3(run: Run, tmp_path: Path):
    write_wav(tmp_path / "song.wav", music(3, 24_000), 24_000)
    (tmp_path / "folder").mkdir()
    for arguments, code in (
        (("input=song.wav", "max_seconds=2"), "GM-too_long"),
        (("input=folder",), "GM-no_audio"),
        (("input=nope.wav",), "GM-missing"),
    ):
        exit_code, said, folder = run(*arguments)
        assert (exit_code, said.count("\n")) == (3, 1), said
        assert code in said
        assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "setting",
    ["seconds=-1", "seed=-1", "lookahead_s=9", "instrument=kazoo", "sampler=nope", "sampler.temperature=nan", "sead=1"],
)
def test_a_senseless_setting_is_exit_2_and_nothing_is_created(run: Run, tmp_path: Path, setting: str):
    write_wav(tmp_path / "song.wav", music(0.5, 24_000), 24_000)
    code, said, folder = run("input=song.wav", "out=out", setting)
    assert (code, said.count("\n")) == (2, 1), said
    assert not (folder / "out").exists()


def test_results_are_kept_unless_force_is_given(run: Run, tmp_path: Path):
    write_wav(tmp_path / "song.wav", music(0.5, 24_000), 24_000)
    assert run("input=song.wav", "out=out", "beats=none")[0] == 0
    code, said, folder = run("input=song.wav", "out=out", "beats=none", "seed=1")
    assert code == 2
    assert "force=true" in said
    assert json.loads((folder / "out" / "report.json").read_text())["seed"] == 0
    assert run("input=song.wav", "out=out", "beats=none", "seed=1", "force=true")[0] == 0


def test_a_disk_that_cannot_be_written_is_exit_5(run: Run, tmp_path: Path):
    write_wav(tmp_path / "song.wav", music(0.5, 24_000), 24_000)
    (tmp_path / "out").write_text("a file where the folder should be")
    code, said, _ = run("input=song.wav", "out=out", "beats=none")
    assert (code, said.splitlines()[-1].startswith("error[GM-")) == (5, True), said


@pytest.mark.slow
@pytest.mark.parametrize("had_results", [False, True])
def test_a_disk_that_fills_at_any_write_leaves_what_was_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had_results: bool
):
    """The n-th flush to the disk fails, for every n until none is left to fail."""
    write_wav(tmp_path / "song.wav", music(0.3, 24_000), 24_000)
    call = ("input=song.wav", "out=out", "beats=none", "force=true", "sampler=greedy")
    if had_results:
        assert run(*call, "seed=7")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    flush, failures = os.fsync, 0
    for n in range(1, 20):
        calls = iter(range(1, 100))

        def full(descriptor: int, n: int = n, calls: Iterator[int] = calls) -> None:
            if next(calls) == n:
                raise OSError(errno.ENOSPC, "No space left on device")
            flush(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        code, said, _ = run(*call)
        if code == 0:
            break
        failures += 1
        assert (code, said.count("\n")) == (5, 1), said
        if next(calls) <= 8:  # every file is flushed, and its folder: what comes after is the folder of them all
            assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
            assert (tmp_path / "out").exists() == had_results
    assert failures == 9


class Canary:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def hostile_checkpoint(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Canary(canary)}))
        archive.writestr("archive/version", "3")


def test_a_wrong_checkpoint_is_exit_4_and_runs_nothing(
    run: Run,
    tmp_path: Path,
    player: Accompanist,  # noqa: F811
    report: Report,
):
    write_wav(tmp_path / "song.wav", music(0.5, 24_000), 24_000)
    (tmp_path / "page.ckpt").write_text("<html>")
    (tmp_path / "empty.ckpt").touch()
    hostile_checkpoint(tmp_path / "hostile.ckpt", tmp_path / "canary")
    shutil.copy(CODEC, tmp_path / "codec.safetensors")
    flipped = bytearray(SHIPPED.read_bytes())
    flipped[-5] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    (tmp_path / "cut.safetensors").write_bytes(flipped[: len(flipped) // 2])
    lm_bundle(player.model, player.codec.spec, {}, {}).save(tmp_path / "other_codec.safetensors")
    for name, code in {
        "nope.ckpt": "missing",
        "page.ckpt": "not_checkpoint",
        "empty.ckpt": "empty",
        "hostile.ckpt": "runs_code",
        "codec.safetensors": "wrong_kind",
        "flipped.safetensors": "corrupt",
        "cut.safetensors": "truncated",
        "other_codec.safetensors": "other_codec",
    }.items():
        exit_code, said, folder = run("input=song.wav", "out=out", f"ckpt={name}")
        assert (exit_code, said.count("\n")) == (4, 1), (name, said)
        assert f"error[GM-{code}]" in said, (name, said)
        assert not (folder / "out").exists()
    report("p01_canaries_run", int((tmp_path / "canary").exists()))
    assert not (tmp_path / "canary").exists()
