"""Chords per frame, and chords of scores."""

from fractions import Fraction

import numpy as np
from symusic.core import NoteTick, ScoreTick, TrackTick

from gigmate.music.chords import Chord, frame_harmony
from gigmate.music.midi import grid_of
from gigmate.music.midi_chords import chords_of
from gigmate.pitch import NO_ROOT


def test_frames_of_a_chord_hold_its_root_and_tones() -> None:
    roots, tones = frame_harmony([Chord(0.1, 0.3, 9, (9, 0, 4))], 20, Fraction(50))
    assert (roots[5:15] == 9).all()
    assert (tones[5:15] == (1 << 9) + (1 << 0) + (1 << 4)).all()
    outside = np.r_[0:5, 15:20]
    assert (roots[outside] == NO_ROOT).all()
    assert not tones[outside].any()


def test_chords_outside_the_song_are_cut() -> None:
    roots, _ = frame_harmony([Chord(-1.0, 0.1, 2, (2,)), Chord(0.3, 9.0, 4, (4,))], 20, Fraction(50))
    assert roots.tolist() == [2] * 5 + [NO_ROOT] * 10 + [4] * 5


def score_of(*tracks: tuple[int, bool, list[tuple[int, int, int]]]) -> ScoreTick:
    """Tracks of (program, is_drum, [(beat, beats, pitch)]), 120 bpm."""
    score = ScoreTick(480)
    for program, is_drum, notes in tracks:
        track = TrackTick("", program, is_drum)
        for beat, beats, pitch in notes:
            track.notes.append(NoteTick(480 * beat, 480 * beats, pitch, 90))
        score.tracks.append(track)
    return score


def test_a_scores_chords_have_the_basss_root_and_all_pitch_classes() -> None:
    keys = [(0, 4, pitch) for pitch in (60, 64, 67)] + [(4, 4, pitch) for pitch in (57, 60, 64)]
    score = score_of((0, False, keys), (33, False, [(0, 4, 36), (4, 3, 33)]), (0, True, [(0, 8, 38)]))
    chords = chords_of(score, grid_of(score))
    assert [chord.root_pc for chord in chords[:7]] == [0, 0, 0, 0, 9, 9, 9]
    assert chords[1].pitch_classes == (0, 4, 7)
    assert chords[5].pitch_classes == (0, 4, 9)
    assert chords[0].start_s == 0
    assert abs(chords[1].start_s - 0.5) < 1e-9


def test_without_a_bass_nobody_knows_the_root() -> None:
    score = score_of((0, False, [(0, 4, 60)]))
    assert {chord.root_pc for chord in chords_of(score, grid_of(score))} == {NO_ROOT}


def test_beats_without_notes_have_no_chord() -> None:
    score = score_of((0, False, [(0, 1, 60), (6, 2, 62)]))
    starts = [round(2 * chord.start_s) for chord in chords_of(score, grid_of(score))]
    assert 3 not in starts
    assert 0 in starts
