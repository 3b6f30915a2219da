"""Which songs `generate.py` plays to, where results go, and what is left when something goes wrong."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gigmate.audio import read_audio, write_wav
from gigmate.errors import InputError, UsageError
from gigmate.music.grid import BeatGrid
from gigmate.music.midi import notes_of, read_midi
from gigmate.music.note_codes import note_codes
from gigmate.offline import find_grid, fresh_folder, plan, save_notes
from gigmate.performance import Performance


def tone(path: Path, seconds: float = 1.0) -> Path:
    t = np.arange(int(8000 * seconds)) / 8000
    write_wav(path, (0.1 * np.sin(2 * np.pi * 440 * t))[None].astype(np.float32), 8000)
    return path


def test_a_file_goes_to_a_folder_of_its_name(tmp_path: Path):
    song = tone(tmp_path / "song.wav")
    (job,) = plan(song, None, tmp_path / "runs", force=False)
    assert (job.song, job.out) == (song, tmp_path / "runs/generate/song")


def test_a_second_run_takes_a_fresh_folder(tmp_path: Path):
    (tmp_path / "song").mkdir()
    assert fresh_folder(tmp_path / "song") == tmp_path / "song-2"
    (tmp_path / "song-2").mkdir()
    assert fresh_folder(tmp_path / "song") == tmp_path / "song-3"


def test_songs_of_a_folder_get_a_folder_each_and_equal_names_stay_apart(tmp_path: Path):
    for name in ("a.wav", "b.wav", "b.flac"):
        tone(tmp_path / "songs" / name)
    jobs = plan(tmp_path / "songs", tmp_path / "out", tmp_path, force=False)
    assert [job.out.name for job in jobs] == ["a", "b.flac", "b.wav"]


def test_results_are_only_replaced_when_told_to(tmp_path: Path):
    song = tone(tmp_path / "song.wav")
    tone(tmp_path / "out" / "stem.wav")
    with pytest.raises(UsageError, match="force=true"):
        plan(song, tmp_path / "out", tmp_path, force=False)
    assert plan(song, tmp_path / "out", tmp_path, force=True)


def test_a_missing_song_and_a_folder_without_songs_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        plan(tmp_path / "nope.wav", None, tmp_path, force=False)
    with pytest.raises(InputError, match="no_audio"):
        plan(tmp_path, None, tmp_path, force=False)


def test_beats_come_from_nowhere_a_file_or_the_tracker(tmp_path: Path):
    song = read_audio(tone(tmp_path / "song.wav", 6.0))
    assert find_grid("none", song) is None
    beats = tmp_path / "beats.txt"
    beats.write_text("0.5 d\n1.0\n1.5 d\n")
    grid = find_grid(str(beats), song)
    assert grid is not None
    assert grid.beat_times_s.tolist() == [0.5, 1.0, 1.5]
    assert find_grid("track", song) is not None


@pytest.mark.parametrize("grid", [BeatGrid.from_tempo(93.0, 3, 4.0, 0.21), None])
def test_the_notes_that_were_written_come_out_as_midi(tmp_path: Path, grid: BeatGrid | None):
    notes = np.array([(0.5, 0.9, 40), (1.0, 1.5, 43), (1.5, 2.0, 45)], np.float64)
    codes = note_codes(notes, "bass", 200, Fraction(50)).astype(np.int64)
    silence = np.zeros((1, 4 * 8000), np.float32)
    save_notes(Performance(silence, silence, codes[None], codes, 8000, {}), "bass", grid, Fraction(50), tmp_path)
    found = notes_of(read_midi(tmp_path / "stem.mid"))
    assert list(found) == ["bass"]
    np.testing.assert_allclose(found["bass"], notes, atol=0.021)  # a frame
