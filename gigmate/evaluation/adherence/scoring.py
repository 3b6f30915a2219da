"""The scores of players on pairs: which metric is asked of which instrument, and what comes of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gigmate.evaluation.adherence import harmony, rhythm, soundness
from gigmate.evaluation.adherence.anchors import RANDOM, TRUE, anchors
from gigmate.evaluation.adherence.pairs import Pair, true_stems
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.fit.judge import Judge, Verdict
from gigmate.evaluation.metrics import Mono
from gigmate.music.tracker import track_beats

METRICS = ("beat_f1", "eighth_grid", "coincidence", "tempo_match", "bar_pattern", "fit")
"""Asked of everybody; `fit` where there is an encoder."""
PITCHED_METRICS = ("chord_tones", "scale_tones", "chroma_r", "root_fifth")
"""Asked of everybody but drums, where the harmony is known (`chroma_r`: always); `root_fifth` of the bass alone."""
SOUNDNESS = ("loudness_db", "silence", "clipping", "density", "syncopation", "repetition")
DRIFT = ("level_drift_db", "phase_drift_ms")
"""Of pieces of two minutes or more."""

_DRIFT_FROM_S = 120.0

Play = Callable[[Pair], Iterable[tuple[str, Mono]]]


@dataclass(frozen=True)
class Score:
    """What a player reached on a pair.

    Args:
        song: its name.
        instrument: of the stem.
        player: an anchor or a system.
        values: by metric; nan where there was nothing to measure.
        verdict: the encoder's, if one was asked.
    """

    song: str
    instrument: str
    player: str
    values: dict[str, float]
    verdict: Verdict | None = None


def score_pairs(
    pairs: Sequence[Pair], play: Play, progress: Callable[[str], None], judge: Judge | None = None
) -> Iterator[Score]:
    """The scores of all anchors and systems on all pairs.

    A random pairing is another song's true stem; where none is known, what a system played to another song.

    Args:
        pairs: what is played to.
        play: the systems under test: their stems [N] by name.
        progress: told the name of each song.
        judge: the encoder, at the rate of the pairs.
    """
    stems = true_stems(pairs) or [(pair, wave) for pair in pairs for _, wave in play(pair)]
    for pair in pairs:
        progress(f"{pair.song} {pair.instrument}")
        tracked = track_beats(pair.mix, pair.sample_rate)
        mix = Part(pair.mix, pair.sample_rate)
        true = None if pair.true is None else Part(pair.true, pair.sample_rate)
        for name, wave in [*anchors(pair, stems, tracked), *play(pair)]:
            part = true if name == TRUE and true is not None else Part(wave, pair.sample_rate)
            values = score_part(pair, part, mix, true)
            verdict = None if judge is None else judge.judge(pair.mix, part.wave)
            if verdict is not None:
                values["fit"] = verdict.fit
            yield Score(pair.song, pair.instrument, name, values, verdict)


def score_part(pair: Pair, part: Part, mix: Part, true: Part | None) -> dict[str, float]:
    """All figures of one stem that can be measured on this pair."""
    values = {
        "beat_f1": rhythm.beat_f1(part, pair.grid, pair.seconds),
        "eighth_grid": rhythm.eighth_grid(part, pair.grid),
        "coincidence": rhythm.coincidence(part, mix),
        "tempo_match": rhythm.tempo_match(part, pair.grid),
    }
    if true is not None:
        values["bar_pattern"] = rhythm.bar_pattern(part, true, pair.grid)
    if pair.instrument != "drums":
        values["chroma_r"] = harmony.chroma_r(part, mix, pair.grid, pair.seconds)
        if pair.chords:
            values["chord_tones"] = harmony.chord_tones(part, pair.chords)
        if pair.scale is not None:
            values["scale_tones"] = harmony.scale_tones(part, pair.scale, pair.seconds)
        if pair.chords and pair.instrument == "bass":
            values["root_fifth"] = harmony.root_fifth(part, pair.chords, pair.grid, pair.seconds)
    values |= {
        "loudness_db": soundness.loudness(part),
        "silence": soundness.silence_share(part),
        "clipping": soundness.clipping_share(part),
        "density": soundness.density(part),
        "syncopation": rhythm.syncopation(part, pair.grid),
        "repetition": soundness.repetition(part, pair.grid),
    }
    if pair.seconds >= _DRIFT_FROM_S:
        values |= soundness.drift(part, true, pair.grid)
    return values


def players_of(scores: Iterable[Score]) -> list[str]:
    """Systems first, then the anchors, in the order in which they were met."""
    names = list(dict.fromkeys(score.player for score in scores))
    first_anchor = (TRUE, RANDOM, "silence", "mix copied", "metronome", "root notes")
    return [name for name in names if name not in first_anchor] + [name for name in first_anchor if name in names]
