"""Metrics of stems of which it is known how well they fit, and the arithmetic of adherence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gigmate.audio import write_wav
from gigmate.errors import InputError
from gigmate.evaluation.adherence import harmony, rhythm, soundness
from gigmate.evaluation.adherence.anchors import RANDOM, TRUE, anchors, metronome, root_notes
from gigmate.evaluation.adherence.pairs import Pair, by_instrument, cut, pairs_of_folder, strangers, true_stems
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.playing import live_features
from gigmate.evaluation.adherence.report import summary, write_adherence_report
from gigmate.evaluation.adherence.scoring import Score, score_pairs, score_part
from gigmate.evaluation.adherence.table import adherence, sane_share
from gigmate.evaluation.metrics import Mono
from gigmate.music.band.song import Chord
from gigmate.music.grid import BeatGrid

RATE, SECONDS, BPM = 24_000, 16.0, 110.0
GRID = BeatGrid.from_tempo(BPM, 4, SECONDS)
BEAT_S = 60 / BPM
CHORDS = tuple(
    Chord(4 * i * BEAT_S, 4 * (i + 1) * BEAT_S, root, (root, (root + 4) % 12, (root + 7) % 12))
    for i, root in enumerate((0, 9, 5, 7) * 2)
)


def hits(beats: np.ndarray, hz: float = 900.0, seconds: float = 0.05) -> Mono:
    """Decaying sines at positions in beats."""
    times, wave = np.arange(round(seconds * RATE)) / RATE, np.zeros(round(SECONDS * RATE))
    sound = 0.4 * np.sin(2 * np.pi * hz * times) * np.exp(-times / (seconds / 5))
    for beat in beats:
        first = round(beat * BEAT_S * RATE)
        piece = sound[: max(0, len(wave) - first)]
        wave[first : first + len(piece)] += piece
    return wave.astype(np.float32)


def drums(late_beats: float = 0.0) -> Mono:
    """Kick on 1 and 3, snare on 2 and 4, hats on the eighths."""
    bars = np.arange(0, int(SECONDS / BEAT_S) - 1, 4)
    kicks, snares = (np.sort(np.concatenate([bars + i for i in places])) + late_beats for places in ((0, 2), (1, 3)))
    rng = np.random.default_rng(0)
    noise = 0.3 * rng.normal(size=round(SECONDS * RATE)) * (hits(snares, 1.0, 0.08) != 0)
    return hits(kicks, 70.0, 0.2) + noise.astype(np.float32) + 0.3 * hits(np.arange(0, 28, 0.5) + late_beats, 7_000)


def tones(pitches: list[int], per_s: float = 1 / BEAT_S) -> Mono:
    """One note after the other, each with three harmonics."""
    times = np.arange(round(SECONDS * RATE)) / RATE
    index = np.minimum((times * per_s).astype(int), len(pitches) - 1)
    hz = 440 * 2 ** ((np.array(pitches)[index] - 69) / 12)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    since = times - index / per_s
    return (0.2 * np.exp(-since / 0.4) * (np.sin(phase) + np.sin(2 * phase) / 2 + np.sin(3 * phase) / 4)).astype(
        np.float32
    )


def roots(shift: int = 0) -> Mono:
    return tones([28 + (CHORDS[min(i // 4, 7)].root_pc + shift - 28) % 12 for i in range(int(SECONDS / BEAT_S) + 1)])


def pair(instrument: str = "bass", group: str = "g", true: Mono | None = None) -> Pair:
    return Pair(
        f"song-{group}",
        group,
        instrument,
        RATE,
        drums() + roots(),
        true,
        GRID,
        CHORDS,
        frozenset({0, 2, 4, 5, 7, 9, 11}),
    )


def test_who_plays_on_the_beat_is_told_from_who_is_late() -> None:
    there, late, silent = (
        Part(drums(), RATE),
        Part(drums(0.4), RATE),
        Part(np.zeros(round(SECONDS * RATE), np.float32), RATE),
    )
    assert rhythm.beat_f1(there, GRID, SECONDS) > 0.9
    assert rhythm.beat_f1(late, GRID, SECONDS) < 0.2
    assert rhythm.eighth_grid(there, GRID) > 0.9
    assert rhythm.eighth_grid(Part(drums(0.25), RATE), GRID) < -0.8
    assert rhythm.coincidence(there, there) == 1
    assert rhythm.coincidence(late, there) < 0.6
    assert rhythm.tempo_match(late, GRID) == 1
    assert rhythm.tempo_match(there, BeatGrid.from_tempo(145, 4, SECONDS)) == 0
    for metric in (
        rhythm.beat_f1(silent, GRID, SECONDS),
        rhythm.eighth_grid(silent, GRID),
        rhythm.coincidence(silent, there),
    ):
        assert metric == 0


def test_a_metronome_keeps_the_beat_but_not_the_pattern() -> None:
    true, click = Part(drums(), RATE), Part(metronome(pair("drums"), GRID), RATE)
    assert rhythm.beat_f1(click, GRID, SECONDS) > 0.9
    assert rhythm.bar_pattern(true, true, GRID) == pytest.approx(1)
    assert rhythm.bar_pattern(click, true, GRID) < 0.8
    assert rhythm.bar_pattern(Part(drums(2.0), RATE), true, GRID) > 0.5  # kick and snare stay where they were
    assert rhythm.bar_pattern(Part(drums(1.0), RATE), true, GRID) < 0.9  # and here they have changed places
    assert rhythm.syncopation(click, GRID) == 0
    assert 0.1 < rhythm.syncopation(true, GRID) < 0.7


def test_notes_of_the_chord_are_told_from_others() -> None:
    right, wrong = Part(roots(), RATE), Part(roots(1), RATE)
    assert harmony.chord_tones(right, CHORDS) > 0.9
    assert harmony.chord_tones(wrong, CHORDS) < 0.2
    scale = pair().scale
    assert scale is not None
    assert harmony.scale_tones(right, scale, SECONDS) > 0.95
    assert harmony.scale_tones(Part(tones([37, 39, 42, 44] * 8), RATE), scale, SECONDS) < 0.2
    assert harmony.root_fifth(right, CHORDS, GRID, SECONDS) > 0.9
    assert harmony.root_fifth(Part(roots(7), RATE), CHORDS, GRID, SECONDS) > 0.9
    assert harmony.root_fifth(Part(roots(4), RATE), CHORDS, GRID, SECONDS) < 0.1
    assert harmony.chroma_r(right, right, GRID, SECONDS) == pytest.approx(1)
    assert harmony.chroma_r(wrong, right, GRID, SECONDS) < 0.2
    silent = Part(np.zeros(round(SECONDS * RATE), np.float32), RATE)
    assert np.isnan(harmony.chord_tones(silent, CHORDS))
    assert np.isnan(harmony.root_fifth(silent, CHORDS, GRID, SECONDS))


@pytest.mark.parametrize("pitch", range(28, 56, 3))
def test_the_pitch_of_a_bass_note_is_found(pitch: int) -> None:
    assert harmony.bass_pitch(Part(tones([pitch]), RATE), 0.1, 0.1 + BEAT_S) == pitch


def test_soundness_sees_what_is_planted() -> None:
    wave = drums()
    part = Part(wave, RATE)
    half = Part(wave * (np.arange(len(wave)) < len(wave) // 2).astype(np.float32), RATE)
    assert soundness.silence_share(half) >= soundness.silence_share(part) / 2 + 0.45
    assert soundness.loudness(Part(wave * np.float32(0.5), RATE)) == pytest.approx(
        soundness.loudness(part) - 6.02, abs=0.05
    )
    assert soundness.clipping_share(Part(np.clip(10 * wave, -1, 1), RATE)) > 0.02
    assert soundness.density(Part(hits(np.arange(0, 28, 1.0)), RATE)) == pytest.approx(28 / SECONDS, rel=0.05)
    assert soundness.repetition(part, GRID) > 0.8
    chance = np.sort(np.random.default_rng(0).uniform(0, 28, 90))
    assert soundness.repetition(Part(hits(chance), RATE), GRID) < 0.5
    assert np.isnan(soundness.repetition(Part(wave[: 2 * RATE], RATE), GRID))  # no two whole bars
    facts = {"loudness_db": -20.0, "density": 4.0, "silence": 0.02}
    assert soundness.is_sane({**facts, "silence": 0.1}, facts)
    for change in ({"loudness_db": -27.0}, {"density": 1.5}, {"silence": 0.4}, {"density": 9.0}):
        assert not soundness.is_sane({**facts, **change}, facts), change


def test_drift_of_level_and_beat_is_measured() -> None:
    grid, rate = BeatGrid.from_tempo(120, 4, 150), 8_000

    def clicks(period_s: float) -> Mono:
        wave = np.zeros(150 * rate, np.float32)
        for start in np.arange(0, 149.5, period_s):
            wave[round(start * rate) : round(start * rate) + 200] = 0.3 * np.sin(0.8 * np.arange(200)) * np.hanning(200)
        return wave

    true = Part(clicks(0.5), rate)
    assert soundness.drift(true, true, grid)["level_drift_db"] == 0
    assert abs(soundness.drift(true, true, grid)["phase_drift_ms"]) <= 4
    fading = Part(clicks(0.50015) * np.linspace(1, 0.25, 150 * rate, dtype=np.float32), rate)
    found = soundness.drift(fading, true, grid)
    assert found["level_drift_db"] > 3
    assert found["phase_drift_ms"] == pytest.approx(0.3 * 138, abs=15)


def planted(own: list[float], player: str = "model") -> list[Score]:
    return [
        Score(f"s{i}", "drums", name, {"m": value, "loudness_db": level, "density": 3.0, "silence": 0.0})
        for i, mine in enumerate(own)
        for name, value, level in (
            (player, mine, -20.0),
            (RANDOM, 0.1, -20.0),
            (RANDOM, 0.3, -20.0),
            (TRUE, 0.6, -22.0),
        )
    ]


def test_adherence_is_zero_for_strangers_and_one_for_the_truth() -> None:
    found = adherence(planted([0.4] * 6), "model", "m")
    assert found is not None
    assert found.adherence is not None
    assert found.adherence.value == pytest.approx(0.5)
    assert (found.num_songs, found.is_telling) == (6, True)
    for name, value in ((TRUE, 1.0), (RANDOM, 0.0)):
        anchor = adherence(planted([0.4] * 6), name, "m")
        assert anchor is not None
        assert anchor.adherence is not None
        assert anchor.adherence.value == pytest.approx(value)
    flat = [
        Score(s.song, s.instrument, s.player, {**s.values, "m": float(i % 3)}) for i, s in enumerate(planted([0.4] * 6))
    ]
    blind = adherence(flat, "model", "m")
    assert blind is not None
    assert not blind.is_telling
    assert adherence(planted([0.4]), "nobody", "m") is None
    assert sane_share(planted([0.4] * 4), "model") == 1
    unknown = [score for score in planted([0.4]) if score.player == "model"]
    assert sane_share(unknown, "model") is None


def test_only_sane_and_audible_songs_count_and_no_more_than_the_truth() -> None:
    half = planted([0.6] * 6)
    for score in half:
        if score.player == "model" and score.song in ("s0", "s1", "s2"):
            score.values["loudness_db"] = -60.0
    loud, silent, better = (
        adherence(scores, "model", "m") for scores in (half, planted([np.nan, 0.6]), planted([0.9]))
    )
    assert loud is not None
    assert loud.adherence is not None
    assert loud.counted is not None
    assert loud.adherence.value == pytest.approx(1)
    assert loud.counted.value == pytest.approx(0.5)
    assert silent is not None
    assert silent.counted is not None
    assert silent.counted.value == pytest.approx(0.5)
    assert better is not None
    assert better.counted is not None
    assert better.counted.value == pytest.approx(1)
    worse = planted([-0.2] * 3)
    for score in worse:
        if score.player == "model":
            score.values["silence"] = 1.0
    found = adherence(worse, "model", "m")
    assert found is not None
    assert found.counted is not None
    assert found.counted.value == pytest.approx(-1)  # worse than random stays so


def test_every_player_is_scored_and_the_report_names_them(tmp_path: Path) -> None:
    pairs = [cut(pair("bass", "a", roots()), 0.0, 8.0), cut(pair("bass", "b", roots(5)), 0.0, 8.0)]
    scores = list(score_pairs(pairs, lambda p: [("model", p.true if p.true is not None else p.mix)], lambda _: None))
    assert {score.player for score in scores} == {
        "model",
        TRUE,
        RANDOM,
        "silence",
        "mix copied",
        "metronome",
        "root notes",
    }
    text = write_adherence_report(scores, "planted", "facts", tmp_path).read_text()
    assert "| metronome |" in text
    assert summary(scores)["bass/model/sane"] == 1.0
    assert (tmp_path / "scores.csv").read_text().startswith("song,instrument,player,metric,value")
    assert [len(group) for group in by_instrument(pairs).values()] == [2]


def test_without_true_stems_a_player_is_compared_with_itself_at_other_songs(tmp_path: Path) -> None:
    nameless = [replace(pair("bass", name, roots()), true=None) for name in "abc"]
    good, late = roots(), np.roll(roots(), round(RATE * BEAT_S / 4))
    stems = {id(own): wave for own, wave in zip(nameless, (good, late, late), strict=True)}
    scores = list(score_pairs(nameless, lambda p: [("model", stems[id(p)])], lambda _: None))
    assert {score.player for score in scores} >= {"model", RANDOM, "metronome"}
    assert not any(score.player == TRUE for score in scores)
    found = adherence(scores, "model", "eighth_grid")
    assert found is not None
    assert found.adherence is None
    assert found.lead is not None
    means = [
        np.mean([s.values["eighth_grid"] for s in scores if (s.song, s.player) == (f"song-{name}", player)])
        for name in "abc"
        for player in ("model", RANDOM)
    ]
    assert means[0] > means[1]  # it is in time, the others aren't
    assert found.lead.value == pytest.approx(np.mean(means[::2]) - np.mean(means[1::2]))
    text = write_adherence_report(scores, "planted", "facts", tmp_path).read_text()
    assert "| lead over a random pairing of |" in text
    assert "| counted adherence of |" not in text


def test_anchors_play_what_they_are_named_for() -> None:
    own = pair("bass", "a", roots())
    unfit = [own, pair("bass", "a", roots(2)), pair("drums", "d", roots(2))]
    assert len(strangers(own, true_stems(unfit), 3)) == 0
    assert harmony.root_fifth(Part(root_notes(own, GRID), RATE), CHORDS, GRID, SECONDS) > 0.95
    named = dict(anchors(own, true_stems([own]), GRID))
    assert not named["silence"].any()
    assert np.array_equal(named["mix copied"], own.mix)
    values = score_part(own, Part(named["silence"], RATE), Part(own.mix, RATE), None)
    assert "bar_pattern" not in values


def test_a_cut_keeps_song_and_truth_on_one_clock() -> None:
    whole = pair("bass", "a", roots())
    piece = cut(whole, 4 * BEAT_S, 6.0)
    assert len(piece.mix) == 6 * RATE
    assert piece.chords[0].root_pc == 9
    assert piece.chords[0].start_s == pytest.approx(0, abs=1e-9)
    assert piece.true is not None
    assert rhythm.eighth_grid(Part(piece.mix, RATE), piece.grid) > 0.8
    assert harmony.root_fifth(Part(piece.true, RATE), piece.chords, piece.grid, 6.0) > 0.9


def test_a_folder_of_pairs_is_read_as_others_leave_it(tmp_path: Path) -> None:
    for song, instrument in (("one", "drums"), ("two", "bass")):
        for name, wave in (("mix", roots()), ("stem", drums() / 2)):
            write_wav(tmp_path / song / instrument / f"{name}.wav", wave[None], RATE)
    GRID.to_file(tmp_path / "one" / "drums" / "beats.txt")
    found = pairs_of_folder(tmp_path, RATE)
    assert [own.instrument for own, _ in found] == ["drums", "bass"]
    assert np.allclose(found[0][0].grid.beat_times_s, GRID.beat_times_s)
    assert np.allclose(found[0][1], drums() / 2, atol=1e-3)
    with pytest.raises(InputError, match="called mix"):
        pairs_of_folder(tmp_path / "none", RATE)


def test_live_beats_are_known_late_and_never_from_the_future() -> None:
    mix = drums()
    features = live_features(mix, RATE, 500, 480, behind=28)
    assert not features[:, :28].any()
    altered = mix.copy()
    altered[300 * 480 :] = 0
    again = live_features(altered, RATE, 500, 480, behind=28)
    assert np.array_equal(again[:, : 300 + 27], features[:, : 300 + 27])
