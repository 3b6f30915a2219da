"""Written audio is whole or not there, and a disk that refuses is said to be the machine's fault."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import music

from gigmate.audio import read_audio, write_wav
from gigmate.errors import MachineError


@pytest.mark.parametrize(("channels", "num_samples"), [(1, 0), (1, 1), (2, 70_001), (3, 200)])
def test_wav_is_read_by_others_as_it_was_written(tmp_path: Path, channels: int, num_samples: int) -> None:
    wave = np.resize(music(0.5, 24_000, channels), (channels, num_samples))
    write_wav(tmp_path / "pcm.wav", wave, 24_000)
    write_wav(tmp_path / "float.wav", wave, 24_000, subtype="FLOAT")
    for name, subtype, tolerance in (("pcm", "PCM_16", 1 / 32_768), ("float", "FLOAT", 0)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav") as file:
            assert (file.samplerate, file.subtype, file.frames) == (24_000, subtype, num_samples)
            assert np.abs(file.read(dtype="float32", always_2d=True).T - wave).max(initial=0) <= tolerance


def test_reading_and_writing_16_bits_changes_no_bit(tmp_path: Path) -> None:
    every_value = (np.arange(-32_768, 32_768) / 32_768).astype(np.float32)[None]
    write_wav(tmp_path / "a.wav", every_value, 24_000)
    write_wav(tmp_path / "b.wav", read_audio(tmp_path / "a.wav", isolated=False).wave, 24_000)
    assert np.array_equal(read_audio(tmp_path / "b.wav", isolated=False).wave, every_value)


def test_what_is_too_loud_for_16_bits_is_clipped_not_wrapped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([[1.5, -1.5, 1.0, -1.0]], np.float32), 24_000)
    assert read_audio(tmp_path / "a.wav").wave[0] == pytest.approx([1, -1, 1, -1], abs=1e-4)


@pytest.mark.parametrize(("ending", "tolerance"), [("flac", 1e-4), ("ogg", 0.2)])
def test_compressed_files_are_long_enough(tmp_path: Path, ending: str, tolerance: float) -> None:
    """20 s at once crash libsndfile's Vorbis encoder: blocks are the point."""
    wave = music(20.0, 24_000, 2)
    write_wav(tmp_path / f"a.{ending}", wave, 24_000)
    assert np.abs(read_audio(tmp_path / f"a.{ending}", isolated=False).wave - wave).max() < tolerance


@pytest.mark.parametrize(
    ("wave", "name"),
    [
        (np.array([[0.0, np.nan]]), "a.wav"),
        (np.zeros(5), "a.wav"),
        (np.zeros((1, 5)), "a.mp4"),
        (np.zeros((1, 5)), "a"),
    ],
)
def test_what_cannot_be_written_is_a_value_error(tmp_path: Path, wave: np.ndarray, name: str) -> None:
    with pytest.raises(ValueError, match=r"wave must be finite|ending"):
        write_wav(tmp_path / name, wave, 24_000)
    assert list(tmp_path.iterdir()) == []


class _Failing:
    """`os.write` and the like, failing from the n-th call on."""

    def __init__(self, real: Callable[..., object], after: int, code: int) -> None:
        self.real, self.left, self.code = real, after, code

    def __call__(self, *arguments: object, **named: object) -> object:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments, **named)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_refusing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, music(0.1), 24_000)
    old = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _Failing(getattr(os, call), 0, code))
        with pytest.raises(MachineError, match=r"a\.wav") as caught:
            write_wav(path, music(0.2), 24_000)
    assert caught.value.exit_code == 5
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open
    monkeypatch.setattr("builtins.open", lambda name, *rest: real("/dev/full" if ".tmp." in str(name) else name, *rest))
    with pytest.raises(MachineError, match="No space left"):
        write_wav(tmp_path / "a.wav", music(5.0), 24_000)
