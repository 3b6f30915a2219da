"""What the band reads and how it plays: figures, form, swing, tempo and human timing."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gigmate.music.band import PLAYERS, STYLES, compose
from gigmate.music.band.bass import play_bass
from gigmate.music.band.chance import stream
from gigmate.music.band.comping import play_guitar, play_keys
from gigmate.music.band.form import plan_form
from gigmate.music.band.perform import Clock, Feel, beat_times, one_at_a_time, perform
from gigmate.music.band.scene import Event, Hit, Scene, read_figure
from gigmate.music.band.song import Note, Section
from gigmate.music.band.styles import Style
from gigmate.music.band.theory import ChordSpan

SIGNS = {"drums": "Xxog-.", "bass": "RO537Ag-.", "keys": "Xxs>B0123456789-.", "guitar": "Xxs>Bmp0123456789-."}


def figures(style: Style) -> Iterator[tuple[str, str]]:
    for groove in style.grooves:
        yield from (("drums", figure) for figure in groove if figure)
    for player, options in (("bass", style.bass), ("keys", style.keys), ("guitar", style.guitar)):
        yield from ((player, figure) for figure in options if figure != "walk")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_figures_fill_whole_bars_with_known_signs(style: Style) -> None:
    for player, figure in figures(style):
        assert len(figure) % (4 * style.meter) == 0, (player, figure)
        assert set(figure) <= set(SIGNS[player]), (player, figure)
    assert 60 <= style.bpm[0] < style.bpm[1] <= 200
    assert 0.5 <= style.swing[0] <= style.swing[1] < 0.75


def test_figure_is_read_sign_by_sign() -> None:
    assert read_figure("R... ..-. O.g.") == (Hit(0.0, 1.5, "R"), Hit(2.0, 0.5, "O"), Hit(2.5, 0.5, "g"))
    assert read_figure("....") == ()


@pytest.mark.parametrize("num_bars", [2, 3, 5, 9, 16, 17, 25, 33, 120])
@pytest.mark.parametrize("unit", [4, 8, 12])
def test_form_of_any_length_has_no_gaps_and_lets_everybody_play(num_bars: int, unit: int) -> None:
    for seed in range(20):
        sections = plan_form(stream(seed, "form"), num_bars, unit)
        assert [s.start_bar for s in sections] == np.cumsum([0, *(s.num_bars for s in sections[:-1])]).tolist()
        assert sum(section.num_bars for section in sections) == num_bars
        assert sections[-1].name == "end"
        assert next(section for section in sections if section.name == "chorus").players == PLAYERS
        assert all(section.players and 0.0 <= section.energy <= 1.0 for section in sections)


def test_sections_of_one_name_share_their_bass_line() -> None:
    num_compared = 0
    for seed in (0, 2, 4, 6, 8):  # none of them walks from note to note, which is never twice the same
        song = compose(seed, 110.0)
        bars_s = song.grid.beat_times_s[:: song.meter]
        full = max(section.num_bars for section in song.sections if section.name == "chorus")
        lines = []
        for section in song.sections:
            if section.name == "chorus" and "bass" in section.players and section.num_bars == full:
                begin_s, end_s = bars_s[section.start_bar] - 0.04, bars_s[section.start_bar + full] - 0.3
                lines.append([note.pitch for note in song.notes["bass"] if begin_s <= note.onset_s < end_s])
        num_compared += len(lines) - 1
        # the last notes may lead elsewhere, and jitter may take the one before the edge out of the cut
        assert all(line[:-2] == lines[0][: len(line) - 2] and len(line) > 4 for line in lines), seed
    assert num_compared >= 5


def test_held_notes_and_chords_follow_a_change_of_harmony() -> None:
    style = replace(STYLES[0], bass=("R...............",), keys=("x...............",), guitar=("p...............",))
    chords = tuple(ChordSpan(2.0 * i, 2.0 * i + 2, root, (0, 4, 7)) for i, root in enumerate((0, 5, 7, 2)))
    section = Section("verse", 0, 2, PLAYERS, 0.7, has_fill=False)
    scene = Scene(0, style, section, 4, chords, frozenset({0, 2, 4, 5, 7, 9, 11}))
    assert [(event.beat, event.pitch % 12) for event in play_bass(scene)] == [(0, 0), (2, 5), (4, 7), (6, 2)]
    for play in (play_keys, play_guitar):
        for chord in chords:
            struck = {event.pitch % 12 for event in play(scene) if event.beat == chord.start_beat}
            assert chord.root_pc in struck <= set(chord.pitch_classes)


def test_clock_swings_off_beats_only() -> None:
    clock = Clock(np.array([1.0, 2.0, 4.0, 5.0]), swing=2 / 3, swing_beats=1.0)
    got = clock.seconds(np.array([0.0, 0.25, 0.5, 1.0, 1.5, 2.0]))
    assert got == pytest.approx([1.0, 1 + 1 / 3, 1 + 2 / 3, 2.0, 2 + 4 / 3, 4.0])


def test_tempo_drifts_as_told() -> None:
    steady = np.diff(beat_times(stream(0, "t"), 120.0, 0.25, 60.0, 0.0))
    assert steady == pytest.approx(0.5)
    wandering = np.diff(beat_times(stream(0, "t"), 120.0, 0.25, 60.0, 0.01))
    assert 0.001 < wandering.std() / 0.5 < 0.03
    assert beat_times(stream(0, "t"), 120.0, 0.25, 60.0, 0.01)[-1] > 60.0


def test_performance_keeps_chords_together_and_ends_in_time() -> None:
    clock = Clock(np.arange(20, dtype=np.float64) * 0.5, 0.5, 1.0)
    events = [
        Event(2.0, 1.0, 60, 90.0),
        Event(2.0, 1.0, 64, 90.0),
        Event(9.0, 8.0, 67, 300.0),
        Event(10.5, 1.0, 70, 90.0),
    ]
    notes = perform(stream(1, "p"), events, clock, Feel(0.0, 0.01, 3.0), duration_s=5.0)
    assert [note.pitch for note in notes] == [60, 64, 67]
    assert notes[0].onset_s == notes[1].onset_s != 1.0
    assert notes[2].velocity == 127
    assert max(note.onset_s + note.duration_s for note in notes) <= 5.0
    assert perform(stream(1, "p"), [], clock, Feel(0.0, 0.01, 3.0), 5.0) == ()


def test_single_voice_cuts_what_overlaps() -> None:
    notes = (Note(0.0, 2.0, 40, 90), Note(1.0, 1.0, 41, 90), Note(1.005, 0.5, 42, 90))
    assert one_at_a_time(notes) == (Note(0.0, 1.0, 40, 90), Note(1.005, 0.5, 42, 90))
