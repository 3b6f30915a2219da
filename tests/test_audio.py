"""Laws of reading, writing and converting audio."""

from pathlib import Path

import numpy as np
import pytest
from audio_bytes import chunk, encoded, fmt, music, ogg_pages, riff, with_xing

from gigmate.audio import FLOOR_DB, list_audio, loudness_db, read_audio, resample, to_channels, write_wav
from gigmate.errors import InputError

FORMATS = [
    ("wav", "WAV", "PCM_U8", 2e-2),
    ("wav", "WAV", "PCM_16", 1e-4),
    ("wav", "WAV", "PCM_24", 1e-6),
    ("wav", "WAV", "PCM_32", 1e-7),
    ("wav", "WAV", "FLOAT", 0),
    ("wav", "WAV", "DOUBLE", 0),
    ("wav", "WAVEX", "PCM_16", 1e-4),
    ("rf64", "RF64", "PCM_24", 1e-6),
    ("w64", "W64", "PCM_16", 1e-4),
    ("w64", "W64", "FLOAT", 0),
    ("aiff", "AIFF", "PCM_16", 1e-4),
    ("aiff", "AIFF", "PCM_S8", 2e-2),
    ("aiff", "AIFF", "FLOAT", 0),
    ("flac", "FLAC", "PCM_16", 1e-4),
    ("flac", "FLAC", "PCM_24", 1e-6),
    ("ogg", "OGG", "VORBIS", 0.2),
    ("opus", "OGG", "OPUS", 0.3),
    ("mp3", "MP3", "MPEG_LAYER_III", 0.3),
]


@pytest.mark.parametrize(("ending", "container", "subtype", "tolerance"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_written_is_read(
    tmp_path: Path, ending: str, container: str, subtype: str, tolerance: float, channels: int
) -> None:
    wave = music(0.4, 24_000, channels)
    path = tmp_path / f"song.{ending}"
    path.write_bytes(encoded(wave, 24_000, container, subtype))
    audio = read_audio(path, isolated=False)
    assert (audio.sample_rate, audio.wave.shape, audio.wave.dtype) == (24_000, wave.shape, np.float32)
    assert audio.duration_s == pytest.approx(0.4)
    assert np.abs(audio.wave - wave).max() <= tolerance
    assert audio.notes == ()


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_isolated_reading_equals_reading_in_process(tmp_path: Path, container: str) -> None:
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    path = tmp_path / "song"
    path.write_bytes(encoded(music(3.1, 44_100, 2), 44_100, container, subtype))
    ours, childs = read_audio(path, isolated=False), read_audio(path)
    assert np.array_equal(ours.wave, childs.wave)
    assert (ours.sample_rate, ours.notes) == (childs.sample_rate, childs.notes)


@pytest.mark.parametrize("claimed", [1, 5_000_000])
def test_the_decoded_length_wins_over_a_wrong_xing_header(tmp_path: Path, claimed: int) -> None:
    wave = music(2.0)
    right = encoded(wave, 24_000, "MP3", "MPEG_LAYER_III")
    (tmp_path / "a.mp3").write_bytes(with_xing(right, claimed))
    audio = read_audio(tmp_path / "a.mp3", isolated=False)
    assert audio.wave.shape == wave.shape
    assert [note.split(":")[0] for note in audio.notes] == ["length_claim"]


def test_variable_rate_mp3_without_a_header_keeps_its_end(tmp_path: Path) -> None:
    """Loud, then silent, then loud: libsndfile alone judges the length by the first frame and stops in the middle."""
    wave = np.concatenate([music(4.0), np.zeros((1, 120_000), np.float32), music(4.0)], axis=1)
    file = encoded(wave, 24_000, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.2)
    xing_frame_bytes = file.index(b"\xff\xf3", 100)
    (tmp_path / "a.mp3").write_bytes(file[xing_frame_bytes:])
    audio = read_audio(tmp_path / "a.mp3", isolated=False)
    assert 0 <= audio.wave.shape[1] - wave.shape[1] < 2_000
    assert loudness_db(audio.wave[:, -72_000:]) > -15


@pytest.mark.parametrize(("rate", "frame", "level"), [(44_100, 1_152, 0.5), (48_000, 1_152, 0.0), (22_050, 576, 0.9)])
def test_constant_rate_mp3_without_a_header_keeps_its_last_frame(
    tmp_path: Path, rate: int, frame: int, level: float
) -> None:
    wave = music(3.0, rate)
    file = encoded(wave, rate, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=level)
    (tmp_path / "a.mp3").write_bytes(file[file.index(file[:2], 8) :])
    audio = read_audio(tmp_path / "a.mp3", isolated=False)
    assert audio.notes == ()
    assert audio.wave.shape[1] % frame == 0  # no frame lost or cut
    assert 0 <= audio.wave.shape[1] - wave.shape[1] < 3 * frame
    assert loudness_db(audio.wave[:, wave.shape[1] - 1_000 : wave.shape[1]]) > -18


def test_mp3_tags_are_skipped_unread(tmp_path: Path) -> None:
    wave = music(1.0)
    file = encoded(wave, 24_000, "MP3", "MPEG_LAYER_III")
    tag = b"ID3\x04\0\0" + bytes([0, 7, 0, 0]) + b"\xff\xfb\x90\x64" * (7 << 12)
    (tmp_path / "a.mp3").write_bytes(tag + file + b"TAG" + bytes(125))
    audio = read_audio(tmp_path / "a.mp3", isolated=False)
    assert audio.wave.shape == wave.shape
    assert audio.notes == ()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_played_to_its_end(tmp_path: Path, subtype: str) -> None:
    one, two = music(0.5), music(0.7, seed=1)
    (tmp_path / "a.ogg").write_bytes(encoded(one, 24_000, "OGG", subtype) + encoded(two, 24_000, "OGG", subtype))
    audio = read_audio(tmp_path / "a.ogg")
    assert audio.wave.shape[1] == one.shape[1] + two.shape[1]
    assert "chained" in audio.notes[0]


def test_ogg_without_its_last_page_is_taken_with_a_note(tmp_path: Path) -> None:
    pages = ogg_pages(encoded(music(4.0, 48_000), 48_000, "OGG", "VORBIS"))
    (tmp_path / "a.ogg").write_bytes(b"".join(pages[:-1]))
    assert "no_end" in read_audio(tmp_path / "a.ogg", isolated=False).notes[0]


PCM = np.arange(-100, 100, dtype="<i2").tobytes()


@pytest.mark.parametrize(
    ("file", "note"),
    [
        (riff(fmt(), chunk(b"data", PCM), size=7), "riff_size"),
        (riff(fmt(), chunk(b"data", PCM + b"x")), "odd_bytes"),
        (riff(fmt(), chunk(b"data", PCM, claimed=0xFFFFFFFF)), "open_end"),
        (riff(chunk(b"LIST", b"x" * 99), fmt(), chunk(b"data", PCM), chunk(b"id3 ", b"y" * 50)), None),
    ],
)
def test_harmless_oddities_of_wav_are_taken_with_a_note(tmp_path: Path, file: bytes, note: str | None) -> None:
    (tmp_path / "a.wav").write_bytes(file)
    audio = read_audio(tmp_path / "a.wav", isolated=False)
    assert audio.wave[0] * 32_768 == pytest.approx(np.arange(-100, 100))
    assert [n.split(":")[0] for n in audio.notes] == ([note] if note else [])


def test_strict_refuses_odd_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(fmt(), chunk(b"data", PCM + b"x")))
    with pytest.raises(InputError, match="GM-odd_bytes"):
        read_audio(tmp_path / "a.wav", isolated=False, strict=True)


@pytest.mark.parametrize(
    ("wave", "notes"),
    [
        (np.zeros((2, 500)), ["silent"]),
        (np.concatenate([music(0.1), np.zeros((1, 2_400))]), ["empty_channel"]),
        (np.concatenate([music(0.1), -music(0.1)]), ["opposed_phase"]),
        (music(0.1) * 0.2 + 0.5, ["dc"]),
        (np.sign(music(0.1)), ["clipped"]),
        (np.concatenate([music(0.1), np.full((1, 2_400), 1e-40)]), ["denormals", "empty_channel"]),
    ],
)
def test_odd_but_usable_sound_is_kept_and_flagged(tmp_path: Path, wave: np.ndarray, notes: list[str]) -> None:
    write_wav(tmp_path / "a.wav", wave.astype(np.float32), 24_000, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav", isolated=False)
    assert [note.split(":")[0] for note in audio.notes] == notes
    assert not (np.abs(audio.wave[audio.wave != 0]) < 1e-37).any()


@pytest.mark.parametrize("name", ["a\nb.wav", "..wav", "🎸.wav", "e\u0301.wav", "n" * 251 + ".wav", " .wav", "-x.wav"])
def test_any_name_works(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(music(), 24_000, "WAV", "PCM_16"))
    assert read_audio(tmp_path / name).duration_s == 0.5


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(44_100, 24_000), (24_000, 48_000), (8_000, 192_000), (32_000, 24_000)]
)
def test_resampling_keeps_pitch_level_and_length(from_rate: int, to_rate: int) -> None:
    times = np.arange(from_rate + 7) / from_rate
    wave = np.stack([np.sin(2 * np.pi * 440 * times), np.cos(2 * np.pi * 440 * times)]).astype(np.float32)
    out = resample(wave, from_rate, to_rate)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert out.shape == (2, round(wave.shape[1] * to_rate / from_rate))
    expected = np.sin(2 * np.pi * 440 * np.arange(out.shape[1]) / to_rate)
    middle = slice(to_rate // 10, -to_rate // 10)
    assert np.abs(out[0] - expected)[middle].max() < 1e-3


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    assert np.array_equal(resample(music(), 24_000, 24_000), music())
    assert resample(np.zeros((2, 0), np.float32), 24_000, 8_000).shape == (2, 0)
    with pytest.raises(ValueError, match="positive"):
        resample(music(), 0, 24_000)


def test_mono_keeps_what_is_alive() -> None:
    left, silence = music(), np.zeros_like(music())
    assert to_channels(np.concatenate([left, silence]), 1) == pytest.approx(left)
    assert to_channels(np.concatenate([left, -0.9 * left]), 1) == pytest.approx(left)
    assert to_channels(np.concatenate([left, 3 * left]), 1) == pytest.approx(2 * left, abs=1e-6)
    assert np.array_equal(to_channels(left, 2), np.concatenate([left, left]))
    assert to_channels(np.zeros((2, 5), np.float32), 1).shape == (1, 5)
    assert to_channels(np.zeros((2, 0), np.float32), 1).shape == (1, 0)
    with pytest.raises(ValueError, match="at least 1"):
        to_channels(left, 0)


def test_loudness_of_known_signals() -> None:
    sine = np.sin(np.arange(48_000) * 2 * np.pi / 100)[None].astype(np.float32)
    assert loudness_db(sine) == pytest.approx(-3.01, abs=0.01)
    assert loudness_db(sine * 0.1) == pytest.approx(-23.01, abs=0.01)
    assert loudness_db(np.zeros((1, 10), np.float32)) == loudness_db(np.zeros((1, 0), np.float32)) == FLOOR_DB


def test_listing_is_sorted_and_takes_only_audio(tmp_path: Path) -> None:
    for name in ("b.MP3", "a.wav", "C.flac", "note.txt", ".hidden.wav", "._a.wav"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.wav").mkdir()
    assert [path.name for path in list_audio(tmp_path)] == ["C.flac", "a.wav", "b.MP3"]


def test_a_folder_without_songs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GM-no_audio"):
        list_audio(tmp_path)
    with pytest.raises(InputError, match="GM-io_error"):
        list_audio(tmp_path / "nothing")


def test_all_recordings_are_read(shared_data: Path) -> None:
    paths = list_audio(shared_data / "audio" / "recordings")
    assert len(paths) == 14
    for path in paths:
        audio = read_audio(path, isolated=False)
        assert audio.duration_s > 2
        assert audio.notes == ()
        assert loudness_db(audio.wave) > -45
