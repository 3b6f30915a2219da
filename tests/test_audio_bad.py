"""Bad audio files, each with its code: the table of RELIABILITY's section on audio files."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from audio_bytes import chunk, encoded, flac_claiming, float_wav, fmt, music, ogg_page, ogg_pages, riff

from gigmate.audio import inspect as audio_inspect
from gigmate.audio import io as audio
from gigmate.audio import read_audio
from gigmate.audio import source as audio_source
from gigmate.errors import InputError

WAVE = music(2.0, 48_000)
PCM = bytes(4_000)
FLAC = encoded(WAVE, 48_000, "FLAC", "PCM_16")
VORBIS = encoded(WAVE, 48_000, "OGG", "VORBIS")
AIFF = encoded(WAVE, 48_000, "AIFF", "PCM_16")
SSND = AIFF[AIFF.index(b"SSND") :][:12]
_PAGES = ogg_pages(encoded(music(9.0, 48_000), 48_000, "OGG", "VORBIS"))
MP3 = encoded(WAVE, 48_000, "MP3", "MPEG_LAYER_III")


def _flipped(file: bytes, at: float) -> bytes:
    place = int(len(file) * at)
    return file[:place] + bytes([file[place] ^ 0x10]) + file[place + 1 :]


def _emptied(page: bytes) -> bytes:
    """The Ogg page with zeros for packets, its checksum right."""
    granule, _, number = struct.unpack("<QII", page[6:22])
    body = 27 + page[26]
    return ogg_page(page[:body] + bytes(len(page) - body), granule, number, page[5])


def _with(value: float, at: int) -> bytes:
    wave = music(0.1, 24_000, 2)
    wave[1, at] = value
    return float_wav(wave)


CASES = {
    "no bytes": ("empty", b""),
    "HTML": ("unrecognised", b"<!DOCTYPE html><html><body>not found</body></html>"),
    "one byte": ("unrecognised", b"R"),
    "zeros": ("unrecognised", bytes(100_000)),
    "RIFF, but no WAVE": ("unrecognised", b"RIFF\0\0\0\0AVI " + bytes(50)),
    "head of RIFF alone": ("no_data", riff()),
    "no data chunk": ("no_data", riff(fmt(), chunk(b"LIST", b"x" * 40))),
    "no fmt chunk": ("bad_header", riff(chunk(b"data", PCM))),
    "short fmt chunk": ("bad_header", riff(chunk(b"fmt ", b"\1\0\1\0"), chunk(b"data", PCM))),
    "no samples": ("zero_frames", riff(fmt(), chunk(b"data", b""))),
    "a part of one sample": ("zero_frames", riff(fmt(), chunk(b"data", b"x"))),
    "claims 1 MB, holds 8820": ("truncated", riff(fmt(), chunk(b"data", bytes(8_820), claimed=1_000_000))),
    "a million chunks": ("too_many_chunks", riff(*[chunk(b"junk", b"")] * 1_000_000, fmt(), chunk(b"data", PCM))),
    "9 channels": ("bad_channels", riff(fmt(channels=9), chunk(b"data", PCM))),
    "no channels": ("bad_channels", riff(fmt(channels=0), chunk(b"data", PCM))),
    "65535 channels": ("bad_channels", riff(fmt(channels=65_535), chunk(b"data", PCM))),
    "12 bits in 16": ("", riff(fmt()[:-2] + b"\x0c\0", chunk(b"data", PCM))),
    "64-bit integers": ("bad_subtype", riff(fmt(bits=64), chunk(b"data", PCM))),
    "mu-law": ("bad_subtype", encoded(WAVE, 48_000, "WAV", "ULAW")),
    "MS ADPCM in WAV": ("bad_subtype", encoded(WAVE, 48_000, "WAV", "MS_ADPCM")),
    "IMA ADPCM in WAV": ("bad_subtype", encoded(WAVE, 48_000, "WAV", "IMA_ADPCM")),
    "IMA ADPCM in W64": ("bad_subtype", encoded(WAVE, 48_000, "W64", "IMA_ADPCM")),
    "IMA ADPCM in AIFF": ("bad_subtype", encoded(WAVE, 48_000, "AIFF", "IMA_ADPCM")),
    "GSM": ("bad_subtype", encoded(WAVE, 48_000, "WAV", "GSM610")),
    "MP3 in WAV": ("bad_subtype", riff(fmt(tag=0x55), chunk(b"data", PCM))),
    "NaN": ("non_finite", _with(np.nan, 1_234)),
    "infinite": ("non_finite", _with(np.inf, 77)),
    "loud": ("out_of_range", _with(16.5, 5)),
    "W64 without data": ("no_data", encoded(WAVE, 48_000, "W64", "PCM_16")[:90]),
    "cut W64": ("truncated", encoded(WAVE, 48_000, "W64", "PCM_16")[:-500]),
    "cut AIFF": ("truncated", encoded(WAVE, 48_000, "AIFF", "PCM_16")[:-500]),
    "cut RF64": ("truncated", encoded(WAVE, 48_000, "RF64", "PCM_16")[:-500]),
    "other format of libsndfile": ("unrecognised", encoded(WAVE, 48_000, "AU", "PCM_16")),
    "cut FLAC": ("decode_error", FLAC[: len(FLAC) // 2]),
    "FLAC with a flipped byte": ("decode_error", _flipped(FLAC, 0.6)),
    "FLAC that claims 2^36-1 samples": ("too_long", flac_claiming(FLAC, (1 << 36) - 1)),
    "FLAC that claims more than it has": ("decode_error", flac_claiming(FLAC, WAVE.shape[1] * 3)),
    "FLAC of unknown length": ("bad_header", flac_claiming(FLAC, 0)),
    "FLAC without its frames": ("decode_error", FLAC[: FLAC.index(b"\xff\xf8")]),
    "AIFF that skips half of its data": ("decode_error", AIFF.replace(SSND, SSND[:8] + struct.pack(">I", 96_000))),
    "FLAC's first bytes": ("bad_header", FLAC[:30]),
    "cut Ogg": ("truncated", VORBIS[: len(VORBIS) // 2]),
    "Ogg's first page": ("zero_frames", ogg_pages(VORBIS)[0]),
    "Ogg with a flipped byte": ("decode_error", _flipped(VORBIS, 0.6)),
    "Ogg of something": ("bad_subtype", ogg_page(ogg_pages(VORBIS)[0].replace(b"\x01vorbis", b"\x01theora"), 0, 0, 2)),
    "two streams side by side": ("bad_subtype", ogg_pages(VORBIS)[0] * 2 + VORBIS),
    "chained Ogg of two rates": ("rate_change", VORBIS + encoded(WAVE, 44_100, "OGG", "VORBIS")),
    "chained Ogg of two codecs": ("rate_change", VORBIS + encoded(WAVE, 48_000, "OGG", "OPUS")),
    "a thousand chained streams": ("too_many_chunks", encoded(WAVE[:, :64], 48_000, "OGG", "VORBIS") * 1_000),
    "time runs backwards": ("bad_header", b"".join([*_PAGES[:-1], ogg_page(_PAGES[-1], 9, len(_PAGES) - 1, 4)])),
    "Vorbis damaged before it was packed": ("decode_error", b"".join([*_PAGES[:5], _emptied(_PAGES[5]), *_PAGES[6:]])),
    "Ogg with a page missing": ("decode_error", b"".join(_PAGES[:4] + _PAGES[5:])),
    "MP3 of two rates": ("rate_change", MP3 + encoded(WAVE, 44_100, "MP3", "MPEG_LAYER_III")),
    "sync words": ("unrecognised", b"\xff\xfb\x90\x64" * 50_000),
    "MP3 with a picture in it": ("decode_error", MP3[:9_000] + b"\x89PNG" * 50_000 + MP3[9_000:]),
    **{
        f"rate {rate}": ("bad_rate", riff(fmt(rate), chunk(b"data", PCM)))
        for rate in (0, 1, 3, 7_999, 192_001, 768_000, (1 << 32) - 1)
    },
}


@pytest.mark.parametrize(("code", "file"), CASES.values(), ids=list(CASES))
def test_bad_files_are_refused_with_their_code(tmp_path: Path, code: str, file: bytes) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(file)
    if not code:  # taken
        read_audio(path)
        return
    with pytest.raises(InputError, match=rf"GM-{code}\]: .*bad.wav; .") as isolated:
        read_audio(path)
    with pytest.raises(InputError, match=rf"GM-{code}\]: ") as in_process:
        read_audio(path, isolated=False)
    assert str(isolated.value) == str(in_process.value)
    assert len(str(isolated.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HTML", "<!DOCTYPE html>"),
        ("claims 1 MB, holds 8820", "1000000.*8820"),
        ("NaN", "sample 1234 of channel 1"),
        ("FLAC with a flipped byte", r"after sample \d+"),
        ("chained Ogg of two rates", "48000 Hz.*44100 Hz"),
        ("rate 768000", "768000.*8000..192000"),
    ],
)
def test_the_message_says_what_was_found(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "bad.wav").write_bytes(CASES[name][1])
    with pytest.raises(InputError, match=said):
        read_audio(tmp_path / "bad.wav", isolated=False)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_too_long_is_refused_at_the_limit(tmp_path: Path, container: str) -> None:
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    (tmp_path / "song").write_bytes(encoded(WAVE, 48_000, container, subtype))
    assert read_audio(tmp_path / "song", max_seconds=2.1).duration_s == 2.0
    with pytest.raises(InputError, match="GM-too_long"):
        read_audio(tmp_path / "song", max_seconds=1.9)


@pytest.mark.parametrize("max_seconds", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_a_mistake_of_the_caller(tmp_path: Path, max_seconds: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        read_audio(tmp_path, max_seconds=max_seconds)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_too_long_is_noticed_while_decoding_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    """Without the gate in front, as for a header that hides its length."""
    monkeypatch.setattr(audio_inspect, "check_length", lambda *_: None)
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    (tmp_path / "song").write_bytes(encoded(WAVE, 48_000, container, subtype))
    for isolated in (True, False):
        with pytest.raises(InputError, match=r"GM-too_long\]: more than 1.5 s"):
            read_audio(tmp_path / "song", max_seconds=1.5, isolated=isolated)


def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    for path in (tmp_path, tmp_path / "pipe.wav", Path("/dev/zero")):
        with pytest.raises(InputError, match="GM-not_regular"):
            read_audio(path)


def test_a_pipe_put_in_place_of_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    monkeypatch.setattr(audio_source, "_check_place", lambda *_: None)
    with pytest.raises(InputError, match="GM-not_regular"):
        read_audio(tmp_path / "pipe.wav")


@pytest.mark.parametrize("name", ["missing.wav", "n" * 300 + ".wav", "nul\0.wav", "loop.wav"])
def test_what_cannot_be_opened_is_an_io_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    with pytest.raises(InputError, match="GM-io_error"):
        read_audio(tmp_path / name)


def test_an_unreadable_file_is_an_io_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a refusing os.open, for the tests may run as root, whom nothing is forbidden."""
    (tmp_path / "a.wav").write_bytes(riff(fmt(), chunk(b"data", PCM)))

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"GM-io_error\]: can't open it \(Permission denied\)"):
        read_audio(tmp_path / "a.wav")


def test_a_link_out_of_the_data_set_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "set", tmp_path / "a.wav"
    inside.mkdir()
    outside.write_bytes(riff(fmt(), chunk(b"data", PCM)))
    (inside / "own.wav").write_bytes(outside.read_bytes())
    (inside / "far.wav").symlink_to(outside)
    (inside / "near.wav").symlink_to(inside / "own.wav")
    assert read_audio(inside / "near.wav", root=inside, isolated=False).wave.shape == (1, 2_000)
    with pytest.raises(InputError, match="GM-symlink"):
        read_audio(inside / "far.wav", root=inside, isolated=False)


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_file_altered_while_it_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", PCM)))
    os.utime(path, (1, 1))
    inspect = audio.inspect

    def meanwhile(*arguments: object) -> object:
        with path.open(mode) as file:
            file.write(b"RIFF")
        return inspect(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(audio, "inspect", meanwhile)
    with pytest.raises(InputError, match="GM-changed"):
        read_audio(path, isolated=False)


def test_no_claim_sizes_an_allocation(tmp_path: Path) -> None:
    """Headers that claim terabytes, within a limit that would allow them."""
    claims = [
        flac_claiming(FLAC, (1 << 36) - 1),
        b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", struct.pack("<QQQI", 1 << 60, 1 << 60, 1 << 60, 0)) + fmt()
        + b"data\xff\xff\xff\xff" + PCM,
    ]  # fmt: skip
    for claim in claims:
        (tmp_path / "a").write_bytes(claim)
        with pytest.raises(InputError, match=r"GM-(decode_error|truncated)"):
            read_audio(tmp_path / "a", max_seconds=1e12, isolated=False)
