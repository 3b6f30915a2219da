"""Note codes: what a player plays in a frame, on cases where it is known."""

from fractions import Fraction

import numpy as np
import pytest

from gigmate.data.windows import notes_ahead
from gigmate.music.band import compose
from gigmate.music.note_codes import Notes, note_codes, unknown_notes
from gigmate.music.note_reading import read_notes
from gigmate.pitch import (
    DRUM_KINDS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    NUM_NOTE_CODES,
    REST,
    UNKNOWN_NOTES,
    Played,
    read_note_code,
)

RATE = Fraction(50)


def played(rows: list[tuple[float, float, int]], instrument: str, num_frames: int = 20) -> list[Played]:
    notes: Notes = np.array(rows, np.float64).reshape(-1, 3)
    return [read_note_code(int(code)) for code in note_codes(notes, instrument, num_frames, RATE)]


def names(frame: Played) -> set[str]:
    return {DRUM_KINDS[kind] for kind in frame.drums}


def test_drums_are_struck_in_the_frame_of_their_onset_and_nowhere_else() -> None:
    frames = played([(0.0, 0.5, 36), (0.1, 0.2, 38), (0.119, 0.2, 42), (0.12, 0.2, 81)], "drums")
    assert names(frames[0]) == {"kick"}
    assert names(frames[5]) == {"snare", "closed hat"}
    assert names(frames[6]) == {"percussion"}
    assert [i for i, frame in enumerate(frames) if frame.begins] == [0, 5, 6]


def test_a_melody_says_which_pitch_and_where_it_begins() -> None:
    frames = played([(0.02, 0.1, 40), (0.1, 0.2, 40)], "bass")
    assert frames[0] == Played()
    assert [frame.begins for frame in frames[1:10]] == [True, *[False] * 3, True, *[False] * 4]
    assert {frame.pitch for frame in frames[1:10]} == {40}
    assert frames[10:] == [Played()] * 10


def test_of_notes_that_sound_together_the_player_decides() -> None:
    together = [(0.0, 0.2, 40), (0.0, 0.2, 52)]
    assert played(together, "bass")[0].pitch == 40
    assert played(together, "lead")[0].pitch == 52
    overlapping = played([(0.0, 0.2, 40), (0.1, 0.3, 47)], "bass")
    assert [frame.pitch for frame in overlapping[:15]] == [40] * 5 + [47] * 10


def test_pitches_out_of_range_keep_their_pitch_class() -> None:
    low, high = played([(0.0, 0.1, 9)], "bass")[0], played([(0.0, 0.1, 120)], "lead")[0]
    assert low.pitch == 33
    assert high.pitch == 96
    assert LOWEST_PITCH <= 33
    assert HIGHEST_PITCH == 96


def test_a_strum_is_one_chord_and_holds_until_the_last_note_ends() -> None:
    frames = played([(0.02, 0.2, 60), (0.04, 0.26, 64), (0.06, 0.22, 67), (0.3, 0.36, 65)], "guitar")
    assert frames[0] == Played()
    assert frames[1] == Played(pitch_classes=(0, 4, 7), begins=True)
    assert frames[2:13] == [Played(pitch_classes=(0, 4, 7))] * 11
    assert frames[13:15] == [Played()] * 2
    assert frames[15] == Played(pitch_classes=(5,), begins=True)


def test_of_large_chords_the_lowest_note_and_the_highest_two_are_kept() -> None:
    assert played([(0.0, 0.1, pitch) for pitch in (43, 59, 62, 65)], "keys")[0].pitch_classes == (2, 5, 7)


def test_what_still_sounds_is_part_of_the_next_chord() -> None:
    frames = played([(0.0, 0.4, 48), (0.2, 0.4, 64)], "keys")
    assert frames[9].pitch_classes == (0,)
    assert frames[10] == Played(pitch_classes=(0, 4), begins=True)


def test_every_code_means_something_else() -> None:
    meanings = {read_note_code(code) for code in range(NUM_NOTE_CODES)}
    assert len(meanings) == NUM_NOTE_CODES
    assert read_note_code(NUM_NOTE_CODES - 1).pitch_classes == (9, 10, 11)  # the last chord there is
    assert read_note_code(REST) == Played()
    for code in (-1, NUM_NOTE_CODES):
        with pytest.raises(ValueError, match="is no note code"):
            read_note_code(code)


@pytest.mark.parametrize("instrument", ["drums", "bass", "keys"])
def test_notes_beyond_the_end_and_of_no_length_do_no_harm(instrument: str) -> None:
    frames = played([(0.1, 0.1, 36), (0.39, 9.0, 40), (0.4, 1.0, 42)], instrument)
    assert frames[5].begins
    assert frames[19].begins
    assert played([], instrument) == [Played()] * 20


def test_the_bands_songs_are_written_whole() -> None:
    song = compose(3, 20.0)
    for instrument, notes in song.notes.items():
        rows = [(n.onset_s, n.onset_s + n.duration_s, n.pitch) for n in notes]
        frames = played(rows, instrument, 1000)
        begins = {int(onset * 50) for onset, _, _ in rows}
        if instrument in ("drums", "bass", "lead"):
            assert {i for i, frame in enumerate(frames) if frame.begins} == begins


def test_notes_are_written_a_frame_ahead() -> None:
    ahead = notes_ahead(np.array([5, 6, UNKNOWN_NOTES, 8], np.int16), 4, 1024)
    assert ahead.tolist() == [6, 1024, 8, 1024]
    assert notes_ahead(unknown_notes(9), 4, 1024).tolist() == [1024] * 4


@pytest.mark.parametrize("instrument", ["bass", "lead", "drums"])
def test_a_melody_and_drums_come_back_as_they_were_written(instrument: str) -> None:
    rows = [(0.1, 0.2, 38), (0.2, 0.4, 38), (0.4, 0.5, 42), (0.6, 0.7, 36)]
    notes = read_notes(note_codes(np.array(rows, np.float64), instrument, 50, RATE).astype(np.int64), RATE)
    assert [note.pitch for note in notes] == [38, 38, 42, 36]
    assert [note.onset_s for note in notes] == pytest.approx([onset for onset, _, _ in rows])
    if instrument != "drums":
        assert [note.duration_s for note in notes] == pytest.approx([0.1, 0.2, 0.1, 0.1])


def test_chords_come_back_with_their_pitch_classes_around_middle_c() -> None:
    rows = [(0.0, 0.2, 40), (0.0, 0.2, 80), (0.2, 0.3, 62), (0.3, 0.4, 62)]
    notes = read_notes(note_codes(np.array(rows, np.float64), "keys", 50, RATE).astype(np.int64), RATE)
    assert [(note.onset_s, note.pitch % 12) for note in notes] == [(0.0, 4), (0.0, 8), (0.2, 2), (0.3, 2)]
    assert all(55 <= note.pitch < 67 for note in notes)


def test_what_nobody_knows_is_a_rest() -> None:
    assert read_notes(np.array([UNKNOWN_NOTES, 1024, REST]), RATE) == []
