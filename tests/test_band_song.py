"""Laws of the band's compositions: grid, harmony, parts and form, before anything is sound."""

from collections import defaultdict
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

from gigmate.music.band import NUM_PROGRESSION_GROUPS, PLAYERS, STYLES, Chord, Note, Section, Song, compose
from gigmate.music.band.drums import DRUM_KEYS
from gigmate.music.band.perform import MAX_JITTER_S
from gigmate.music.band.progressions import Change, Progression, progression_group
from gigmate.music.band.theory import MODES, ChordSymbol

SWING_BEATS = {style.name: style.swing_beats for style in STYLES}
TOMS = {DRUM_KEYS[drum] for drum in ("high_tom", "mid_tom", "low_tom")}
FILL_DRUMS = TOMS | {DRUM_KEYS["snare"], DRUM_KEYS["kick"]}
RANGES = {"drums": (35, 81), "bass": (28, 52), "keys": (40, 84), "guitar": (40, 76), "lead": (60, 88)}


@pytest.fixture(scope="module")
def short_songs() -> list[Song]:
    return [compose(seed, 8.0) for seed in range(150)]


@pytest.fixture(scope="module")
def full_songs() -> list[Song]:
    return [compose(seed) for seed in range(12)]


def chord_of(song: Song, time_s: float) -> Chord:
    return next((chord for chord in song.chords if time_s < chord.end_s), song.chords[-1])


def beat_of(song: Song, time_s: float) -> float:
    """Beats since the song's first one."""
    return float(song.grid.beat_phase(time_s))


def test_other_seeds_give_other_songs(short_songs: list[Song]):
    assert len({str(song.notes) for song in short_songs}) == len(short_songs)
    assert len({str(song.grid.beat_times_s) for song in short_songs}) == len(short_songs)


def test_songs_are_of_every_kind(short_songs: list[Song]):
    assert {song.key for song in short_songs} == set(range(12))
    assert {song.mode for song in short_songs} == set(MODES)
    assert {song.style for song in short_songs} == {style.name for style in STYLES}
    assert {song.meter for song in short_songs} == {3, 4}
    assert len({song.progression_seed for song in short_songs}) > 0.9 * NUM_PROGRESSION_GROUPS
    assert all(60.0 <= song.bpm <= 200.0 for song in short_songs)
    assert max(song.bpm for song in short_songs) > 1.8 * min(song.bpm for song in short_songs)
    for player in PLAYERS:
        assert len({song.tones[player] for song in short_songs}) >= 4


def test_the_grid_is_steady_and_opens_a_bar_every_meter_beats(short_songs: list[Song], full_songs: list[Song]):
    for song in short_songs + full_songs:
        times_s = song.grid.beat_times_s
        periods_s = np.diff(times_s)
        assert periods_s.mean() == pytest.approx(60.0 / song.bpm, rel=0.02)
        assert (np.abs(periods_s * song.bpm / 60.0 - 1.0) < 0.04).all()
        assert song.grid.downbeats.tolist() == [i % song.meter == 0 for i in range(len(times_s))]
        assert song.grid.beats_per_bar == song.meter
        assert 0.0 < times_s[0] < 0.5
        assert times_s[-1] <= song.duration_s < times_s[-1] + 1.05 * 60.0 / song.bpm


def test_a_song_without_a_wish_lasts_one_to_two_minutes(full_songs: list[Song]):
    assert all(60.0 <= song.duration_s <= 120.0 for song in full_songs)
    assert compose(3, 11.5).duration_s == 11.5


def test_notes_lie_within_the_song_and_the_ranges_of_the_instruments(short_songs: list[Song], full_songs: list[Song]):
    for song in short_songs + full_songs:
        assert tuple(song.notes) == PLAYERS
        for player, notes in song.notes.items():
            low, high = RANGES[player]
            assert list(notes) == sorted(notes)
            for note in notes:
                assert 0.0 <= note.onset_s < song.duration_s
                assert 0.0 < note.duration_s <= song.duration_s - note.onset_s + 1e-9
                assert low <= note.pitch <= high
                assert 1 <= note.velocity <= 127


@pytest.mark.parametrize("player", ["bass", "lead"])
def test_bass_and_lead_play_one_note_at_a_time(full_songs: list[Song], player: str):
    for song in full_songs:
        notes = song.notes[player]
        for note, following in pairwise(notes):
            assert note.onset_s + note.duration_s <= following.onset_s + 1e-9


def test_chords_tile_the_song_on_its_beats(short_songs: list[Song], full_songs: list[Song]):
    # 1143: slow, its last bar begins after 4 s
    for song in (*short_songs, *full_songs, compose(1143, 4.0)):
        assert song.chords[0].start_s == pytest.approx(song.grid.beat_times_s[0])
        assert song.chords[-1].end_s == song.duration_s
        for chord, following in pairwise(song.chords):
            assert chord.end_s == following.start_s
        for chord in song.chords:
            assert chord.start_s < chord.end_s
            assert chord.pitch_classes[0] == chord.root_pc
            assert set(chord.pitch_classes) <= set(range(12))
            twice = 2 * beat_of(song, chord.start_s)  # half bars of three beats begin between two
            assert twice == pytest.approx(round(twice), abs=1e-6)


def test_most_chords_are_of_the_key_and_the_last_one_is_its_tonic(full_songs: list[Song]):
    inside = []
    for song in full_songs:
        scale = {(song.key + step) % 12 for step in MODES[song.mode]}
        inside += [set(chord.pitch_classes) <= scale for chord in song.chords]
        assert song.chords[-1].root_pc == song.key
    assert 0.75 < np.mean(inside) < 1.0  # 0.88; the others are borrowed


def test_the_bass_has_the_root_or_fifth_where_chords_begin(full_songs: list[Song]):
    is_root, is_fifth = [], []
    for song in full_songs:
        for chord in song.chords:
            for note in song.notes["bass"]:
                if abs(note.onset_s - chord.start_s) <= MAX_JITTER_S + 1e-6:
                    is_root.append(note.pitch % 12 == chord.root_pc)
                    is_fifth.append(note.pitch % 12 == chord.pitch_classes[2])
    assert len(is_root) > 300
    assert np.mean(np.logical_or(is_root, is_fifth)) > 0.97
    assert np.mean(is_root) > 0.9


@pytest.mark.parametrize(("player", "share"), [("keys", 0.97), ("guitar", 0.97), ("bass", 0.85), ("lead", 0.7)])
def test_parts_play_the_notes_of_the_chord(full_songs: list[Song], player: str, share: float):
    hits, shifted = [], []
    for song in full_songs:
        for note in song.notes[player]:
            pitch_classes = chord_of(song, note.onset_s + MAX_JITTER_S).pitch_classes
            hits.append(note.pitch % 12 in pitch_classes)
            shifted.append((note.pitch - 1) % 12 in pitch_classes)
    assert np.mean(hits) > share
    assert np.mean(shifted) < 0.4


def test_the_melody_stays_in_the_scale_or_the_chord(full_songs: list[Song]):
    fits = []
    for song in full_songs:
        scale = {(song.key + step) % 12 for step in MODES[song.mode]}
        for note in song.notes["lead"]:
            fits.append(note.pitch % 12 in scale | set(chord_of(song, note.onset_s + MAX_JITTER_S).pitch_classes))
    assert np.mean(fits) > 0.98


def swung(song: Song, beat: float) -> float:
    """Where a position of the straight grid is played."""
    pair = SWING_BEATS[song.style]
    whole, place = divmod(beat / pair, 1.0)
    if place < 0.5:
        return (whole + place * song.swing / 0.5) * pair
    return (whole + 1.0 - (1.0 - place) * (1.0 - song.swing) / 0.5) * pair


def test_drums_hit_the_swung_sixteenths_within_human_timing(full_songs: list[Song]):
    errors_s = []
    for song in full_songs:
        beats_s = song.grid.beat_times_s
        places = [swung(song, i / 4) for i in range(4 * len(beats_s) - 3)]
        grid_s = np.interp(places, np.arange(len(beats_s)), beats_s)
        onsets_s = np.array([note.onset_s for note in song.notes["drums"]])
        onsets_s = onsets_s[onsets_s < beats_s[-1]]
        errors_s.append(np.abs(onsets_s[:, None] - grid_s).min(1))
        assert errors_s[-1].max() <= MAX_JITTER_S + 1e-6
    assert 0.001 < np.mean(np.concatenate(errors_s)) < 0.01  # neither a machine nor a beginner


def test_swing_moves_the_off_beats(full_songs: list[Song]):
    swings = []
    for song in full_songs:
        phases = np.array([beat_of(song, note.onset_s) for note in song.notes["drums"]]) / SWING_BEATS[song.style] % 1.0
        off_beats = phases[(phases > 0.42) & (phases < 0.76)]
        if len(off_beats) >= 20:
            assert np.median(off_beats) == pytest.approx(song.swing, abs=0.03)
            swings.append(song.swing)
    assert min(swings) == 0.5
    assert max(swings) > 0.6


def test_sections_tile_the_bars_and_end_on_one(short_songs: list[Song], full_songs: list[Song]):
    for song in short_songs + full_songs:
        bar = 0
        for section in song.sections:
            assert section.start_bar == bar
            assert section.num_bars >= 1
            assert 0.0 < section.energy <= 1.0
            bar += section.num_bars
        assert (song.sections[-1].name, song.sections[-1].num_bars) == ("end", 1)
        assert any(section.players == PLAYERS for section in song.sections[:-1])


def inner_notes(song: Song, section: Section, player: str) -> list[Note]:
    """Notes of a section, those that may be late or early ones of its neighbours left out."""
    start = beat_of(song, 0.0) if section.start_bar == 0 else section.start_bar * song.meter + 0.2
    end = (section.start_bar + section.num_bars) * song.meter - 0.2
    return [note for note in song.notes[player] if start < beat_of(song, note.onset_s) < end]


def test_players_rest_where_the_form_says_so(full_songs: list[Song]):
    resting = set()
    for song in full_songs:
        rests = {(s, player) for s in song.sections for player in PLAYERS if player not in s.players}
        assert rests
        for section, player in rests:
            assert not inner_notes(song, section, player)
        for section in (s for s in song.sections if s.num_bars > 1):  # a chord at its start may fill a single bar
            for player in set(section.players) - {"lead"}:  # a soloist may leave out a short section
                assert inner_notes(song, section, player)
        resting |= {player for _, player in rests}
    assert resting == set(PLAYERS)


def test_fills_close_sections_and_toms_are_kept_for_them(full_songs: list[Song]):
    num_fills, num_toms = 0, 0
    for song in full_songs:
        ends = [(s.start_bar + s.num_bars) * song.meter for s in song.sections if s.has_fill and "drums" in s.players]
        toms = [beat_of(song, note.onset_s) for note in song.notes["drums"] if note.pitch in TOMS]
        for beat in toms:
            assert any(end - song.meter - 0.2 < beat < end for end in ends)
        num_toms += len(toms)
        for end in ends:
            last = [n.pitch for n in song.notes["drums"] if end - 0.85 < beat_of(song, n.onset_s) < end - 0.15]
            assert set(last) <= FILL_DRUMS
            num_fills += bool(last)
    assert num_fills > 2 * len(full_songs)
    assert num_toms > num_fills


def cycle(progression: Progression) -> tuple[tuple[int, int], ...]:
    """Roots and thirds of a progression, one round from its smallest turn; a chord that stays counts once."""
    chords = [(change.chord.root, change.chord.intervals[1]) for change in progression]
    merged = [chord for i, chord in enumerate(chords) if i == 0 or chord != chords[i - 1]]
    while len(merged) > 1 and merged[0] == merged[-1]:
        merged.pop()
    rounds = [n for n in range(1, len(merged)) if len(merged) % n == 0 and merged[:-n] == merged[n:]]
    merged = merged[: min(rounds, default=len(merged))]
    return min(tuple(merged[i:] + merged[:i]) for i in range(len(merged)))


def test_songs_of_different_groups_share_no_progression(monkeypatch: pytest.MonkeyPatch):
    module = import_module("gigmate.music.band.compose")  # the package has the function under this name
    draw, drawn = module.draw_progression, list[Progression]()

    def noted(*args: object, **settings: object) -> Progression:
        drawn.append(draw(*args, **settings))
        return drawn[-1]

    monkeypatch.setattr(module, "draw_progression", noted)
    groups_of = defaultdict(set)
    for seed in range(120):
        drawn.clear()
        song = compose(seed, 8.0)
        assert song.group == f"progressions-{song.progression_seed:02d}"
        assert len(drawn) == 3
        for progression in drawn:
            groups_of[cycle(progression)].add(song.group)
    assert max(len(groups) for groups in groups_of.values()) == 1
    assert len(groups_of) > 150


def test_the_group_of_a_progression_ignores_its_start_rhythm_and_extensions():
    triads = (ChordSymbol(0, (0, 4, 7)), ChordSymbol(9, (0, 3, 7)), ChordSymbol(5, (0, 4, 7)))
    ninths = tuple(ChordSymbol(chord.root, (*chord.intervals, 10, 14)) for chord in triads)

    def group(chords: tuple[ChordSymbol, ...], bars: tuple[float, ...]) -> int:
        return progression_group(tuple(map(Change, chords, bars)))

    expected = group(triads, (1, 1, 1))
    assert group(ninths, (1, 1, 1)) == expected
    assert group(triads, (2, 0.5, 1)) == expected
    assert group((*triads[1:], triads[0]), (1, 1, 1)) == expected
    assert group((triads[0], *triads), (1, 1, 1, 1)) == expected
    assert group((*triads[:2], ChordSymbol(5, (0, 3, 7))), (1, 1, 1)) != expected


@pytest.mark.parametrize(
    ("seed", "duration_s", "message"),
    [
        (-1, 8.0, "seed is -1, must be >= 0"),
        (0, 3.99, "duration_s is 3.99, must be in 4..3600"),
        (0, 3600.1, "duration_s is 3600.1"),
        (0, float("nan"), "duration_s is nan"),
    ],
)
def test_seeds_and_durations_out_of_range_are_refused(seed: int, duration_s: float, message: str):
    with pytest.raises(ValueError, match=message):
        compose(seed, duration_s)
