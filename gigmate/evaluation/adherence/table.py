"""From scores to adherence: (score - random) / (true - random), with intervals over songs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigmate.evaluation.adherence.anchors import RANDOM, TRUE
from gigmate.evaluation.adherence.scoring import Score
from gigmate.evaluation.adherence.soundness import is_sane
from gigmate.evaluation.bootstrap import Interval, interval
from gigmate.evaluation.fit.distances import frechet, prompt_adherence


@dataclass(frozen=True)
class Adherence:
    """A player's adherence on one metric.

    Args:
        mean: the plain score.
        adherence: between a random pairing (0) and the true stem (1); None without true stems or strangers.
        counted: the same, at most 1, with no credit for songs on which the stem isn't sane or gave nothing to measure.
        lead: the plain score less that of a random pairing, song by song; None without strangers.
        num_songs: on which it was measured.
        is_telling: whether the true stem beats random pairings clearly: if not, don't use the figure.
    """

    mean: Interval
    adherence: Interval | None
    counted: Interval | None
    lead: Interval | None
    num_songs: int
    is_telling: bool


def adherence(scores: Sequence[Score], player: str, metric: str) -> Adherence | None:
    """Of one instrument's scores; None if the metric was never measured for this player.

    Every song counts once: strangers and several pairs of a song are averaged before. Means are divided, not songs'
    ratios, whose denominators may be next to nothing.
    """
    songs = _by_song(scores, metric)
    own = [values[player] for values in songs.values() if np.isfinite(values.get(player, np.nan))]
    if not own:
        return None
    leads = [values[player] - values[RANDOM] for values in songs.values() if {player, RANDOM} <= set(values)]
    lead = interval(leads) if leads else None
    full = [
        (values[player], values[RANDOM], values[TRUE])
        for values in songs.values()
        if all(np.isfinite(values.get(name, np.nan)) for name in (player, RANDOM, TRUE))
    ]
    if not full:
        return Adherence(interval(own), None, None, lead, len(own), False)
    columns = np.array(full)
    gap = interval(columns[:, 2] - columns[:, 1])
    counted = interval(_counted(songs, player, _sane_songs(scores, player)), _capped_ratio)
    return Adherence(interval(own), interval(columns, _ratio), counted, lead, len(own), gap.is_above_zero)


def sane_share(scores: Sequence[Score], player: str) -> float | None:
    """Share of the songs on which the player's level, density and silence are like the true stem's; None: unknown."""
    sane = _sane_songs(scores, player)
    return float(np.mean(list(sane.values()))) if sane else None


@dataclass(frozen=True)
class SetDistances:
    """How a player's stems, all together, stand to the true ones, by the encoder.

    Args:
        prefers: how often the encoder prefers the stem to a stranger's for the same song; None for the strangers.
        prompt_adherence: APA, 0..1.
        frechet: distance of the stems from the true ones.
    """

    prefers: Interval | None
    prompt_adherence: float
    frechet: float


def set_distances(scores: Sequence[Score], player: str) -> SetDistances | None:
    """None without an encoder's verdicts on the player, the true stems and strangers."""
    verdicts = {
        name: [score.verdict for score in scores if score.player == name and score.verdict is not None]
        for name in (player, TRUE, RANDOM)
    }
    if not all(verdicts.values()):
        return None
    pairs, stems = (
        {name: np.concatenate([getattr(v, part) for v in found]) for name, found in verdicts.items()}
        for part in ("pairs", "stems")
    )
    if min(map(len, stems.values())) < 2:
        return None
    strangers = [(s.song, s.values["fit"]) for s in scores if s.player == RANDOM and "fit" in s.values]
    own = {s.song: s.values["fit"] for s in scores if s.player == player and "fit" in s.values}
    wins: dict[str, list[float]] = defaultdict(list)
    for song, fit in strangers:
        if song in own and player != RANDOM:
            wins[song].append(float(own[song] > fit))
    return SetDistances(
        interval([np.mean(won) for won in wins.values()]) if wins else None,
        prompt_adherence(pairs[player], pairs[TRUE], pairs[RANDOM]),
        frechet(stems[player], stems[TRUE]),
    )


def _by_song(scores: Sequence[Score], metric: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if np.isfinite(value := score.values.get(metric, np.nan)):
            found[score.song][score.player].append(value)
    return {song: {player: float(np.mean(v)) for player, v in values.items()} for song, values in found.items()}


def _sane_songs(scores: Sequence[Score], player: str) -> dict[str, bool]:
    """Of each song with a true stem, whether the player's stem is sane there (all of them, where there are several)."""
    true = {score.song: score.values for score in scores if score.player == TRUE}
    sane: dict[str, bool] = {}
    for score in scores:
        if score.player == player and score.song in true:
            sane[score.song] = sane.get(score.song, True) and is_sane(score.values, true[score.song])
    return sane


def _counted(songs: Mapping[str, Mapping[str, float]], player: str, sane: Mapping[str, bool]) -> NDArray[np.float64]:
    """[songs, 3] player, random, true: where a stem isn't sane, or is silent, it is worth a stranger's at most.

    Else a player who is silent on hard songs, or strikes everything, would be judged on the rest alone.
    """
    rows = []
    for song, values in songs.items():
        own, random, true = (values.get(name, np.nan) for name in (player, RANDOM, TRUE))
        if song in sane and np.isfinite([random, true]).all():
            rows.append((own if sane[song] and np.isfinite(own) else np.nanmin([own, random]), random, true))
    return np.array(rows)


def _capped_ratio(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.minimum(_ratio(drawn), 1.0)


def _ratio(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    own, random, true = np.moveaxis(drawn.mean(axis=-2), -1, 0)
    gap = true - random
    return (own - random) / np.where(np.abs(gap) < 1e-9, np.nan, gap)
