"""The band's theory and progressions: chords as the books have them, and groups that share no progression."""

import numpy as np
import pytest

from gigmate.music.band import NUM_PROGRESSION_GROUPS, STYLES, Song, compose
from gigmate.music.band.chance import pick, pick_weighted, stream
from gigmate.music.band.progressions import Change, draw_progression, progression_group, scale_of
from gigmate.music.band.theory import (
    MODES,
    ChordSpan,
    ChordSymbol,
    diatonic_chord,
    dominant_of,
    melody_pitch_classes,
    nearest_voicing,
)

MAJOR, MINOR, DIMINISHED = (0, 4, 7), (0, 3, 7), (0, 3, 6)


def changes(*chords: tuple[int, tuple[int, ...]]) -> tuple[Change, ...]:
    return tuple(Change(ChordSymbol(root, intervals), 1.0) for root, intervals in chords)


def test_triads_of_the_major_scale() -> None:
    triads = [diatonic_chord("major", degree, 3) for degree in range(1, 8)]
    assert [triad.intervals for triad in triads] == [MAJOR, MINOR, MINOR, MAJOR, MAJOR, MINOR, DIMINISHED]
    assert [triad.root for triad in triads] == [0, 2, 4, 5, 7, 9, 11]


def test_larger_chords() -> None:
    assert diatonic_chord("major", 5, 4) == (7, (0, 4, 7, 10))
    assert diatonic_chord("dorian", 1, 5) == (0, (0, 3, 7, 10, 14))
    assert dominant_of(2, 4) == (9, (0, 4, 7, 10))
    assert dominant_of(0, 3) == (7, MAJOR)


def test_melody_gives_way_to_borrowed_notes() -> None:
    e_major_in_c = ChordSpan(0.0, 4.0, 4, MAJOR)
    assert melody_pitch_classes(scale_of(0, "major"), e_major_in_c) == {0, 2, 4, 5, 8, 11}
    assert melody_pitch_classes(scale_of(0, "major"), ChordSpan(0.0, 4.0, 0, MAJOR)) == scale_of(0, "major")


@pytest.mark.parametrize("intervals", [MAJOR, MINOR, DIMINISHED, (0, 4, 7, 11), (0, 3, 7, 10, 14)])
def test_voicings_keep_the_colour_and_stay_put(intervals: tuple[int, ...]) -> None:
    voicing: tuple[int, ...] = ()
    for root in (0, 5, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10):
        chord = ChordSpan(0.0, 4.0, root, intervals)
        before, voicing = voicing, nearest_voicing(chord, voicing, 62.0, 4)
        pcs = {pitch % 12 for pitch in voicing}
        assert len(voicing) == min(len(intervals), 4)
        assert list(voicing) == sorted(set(voicing))
        assert pcs <= set(chord.pitch_classes)
        assert (root + intervals[1]) % 12 in pcs
        assert root in pcs  # what five-note chords lose to four fingers is the fifth
        assert abs(np.mean(voicing) - 62.0) <= 7.0
        assert not before or abs(np.mean(voicing) - np.mean(before)) <= 6.0


def test_group_ignores_rotation_repetition_and_extensions() -> None:
    axis = changes((0, MAJOR), (7, MAJOR), (9, MINOR), (5, MAJOR))
    same = (
        axis[2:] + axis[:2],
        axis + axis,
        (axis[0], *axis),
        tuple(change._replace(num_bars=2.0) for change in axis),
        changes((0, (0, 4, 7, 11)), (7, (0, 4, 7, 10)), (9, (0, 3, 7, 10)), (5, (0, 4, 7, 11, 14))),
    )
    assert {progression_group(other) for other in same} == {progression_group(axis)}
    assert progression_group(axis) == 5  # the groups are part of the data's identity: they must not move
    others = [changes((0, MAJOR), (root, MINOR)) for root in range(1, 12)]
    assert len({progression_group(other) for other in others}) > 5


def test_a_single_chord_is_a_progression() -> None:
    vamp = changes((0, MINOR))
    assert progression_group(vamp) == progression_group(vamp * 4)


def test_progressions_fall_into_their_group() -> None:
    for i, mode in enumerate(MODES):
        for group in range(i, NUM_PROGRESSION_GROUPS, 7):
            drawn = draw_progression(
                stream(i, group), group, mode, colour=0.5, blues=0.1, bars_per_chord=(0.5, 1.0, 2.0)
            )
            assert progression_group(drawn) == group
            assert sum(change.num_bars for change in drawn) <= 16.0


def drawn_again(song: Song, section: str) -> tuple[Change, ...]:
    style = next(style for style in STYLES if style.name == song.style)
    return draw_progression(
        stream(song.seed, "harmony", section),
        song.progression_seed,
        song.mode,
        colour=style.colour,
        blues=style.blues,
        bars_per_chord=style.bars_per_chord,
    )


def test_songs_play_progressions_of_their_group() -> None:
    for seed in range(25):
        song = compose(seed, 60.0)
        assert song.group == f"progressions-{song.progression_seed:02d}"
        bars_s = song.grid.beat_times_s[:: song.meter]
        for section in song.sections[:-1]:
            begin_s, stop_s = bars_s[section.start_bar], bars_s[section.start_bar + section.num_bars]
            played = [chord for chord in song.chords if begin_s - 1e-6 <= chord.start_s < stop_s - 1e-6]
            progression = drawn_again(song, {"intro": "verse", "break": "verse"}.get(section.name, section.name))
            assert progression_group(progression) == song.progression_seed
            for chord, (symbol, _) in zip(played, progression * len(played), strict=False):
                assert chord.root_pc == (song.key + symbol.root) % 12
                assert chord.pitch_classes == tuple((chord.root_pc + i) % 12 for i in symbol.intervals)


def test_groups_and_styles_are_all_used() -> None:
    songs = [compose(seed, 4.0) for seed in range(300)]
    assert {song.style for song in songs} == {style.name for style in STYLES}
    assert {song.meter for song in songs} == {3, 4}
    assert {song.key for song in songs} == set(range(12))
    assert {song.mode for song in songs} == set(MODES)
    assert len({song.progression_seed for song in songs}) == NUM_PROGRESSION_GROUPS


def test_streams_are_named_and_stable() -> None:
    assert stream(3, "bass").integers(1_000_000) == stream(3, "bass").integers(1_000_000)
    draws = {int(stream(seed, label).integers(2**60)) for seed in range(5) for label in ("bass", "drums")}
    assert len(draws) == 10


def test_weighted_choice_follows_the_weights() -> None:
    rng = stream(0, "weights")
    drawn = [pick_weighted(rng, (("a", 3.0), ("b", 1.0), ("never", 0.0))) for _ in range(4000)]
    assert drawn.count("a") / 4000 == pytest.approx(0.75, abs=0.03)  # four standard errors
    assert "never" not in drawn
    assert {pick(rng, "xyz") for _ in range(100)} == {"x", "y", "z"}
