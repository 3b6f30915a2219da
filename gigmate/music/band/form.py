"""The form of a song: which sections follow each other, who plays in them, and how loud."""

from collections.abc import Iterator

import numpy as np

from gigmate.music.band.chance import pick, pick_weighted
from gigmate.music.band.song import PLAYERS, Section

_ENERGY = {"intro": 0.5, "verse": 0.65, "chorus": 1.0, "bridge": 0.7, "break": 0.45, "outro": 0.8, "end": 0.9}
_MIDDLES = ("verse", "chorus", "verse", "chorus", "bridge", "break", "chorus", "chorus")


def plan_form(rng: np.random.Generator, num_bars: int, unit: int) -> tuple[Section, ...]:
    """Sections that fill `num_bars`, the last bar being the end; everybody plays in the first chorus.

    Args:
        rng: where chance comes from.
        num_bars: length of the song in bars, at least 2.
        unit: bars of a verse or chorus.
    """
    spans: list[tuple[str, int]] = []
    left = num_bars - 1
    for name, length in _names(rng, num_bars, unit):
        spans.append((name, min(length, left)))
        left -= spans[-1][1]
        if left == 0:
            break
    spans.append(("end", 1))
    sections: list[Section] = []
    start = 0
    for name, length in spans:
        is_first_chorus = name == "chorus" and all(section.name != "chorus" for section in sections)
        players = PLAYERS if is_first_chorus else _players(rng, name)
        has_fill = name != "end" and length > 1 and rng.random() < 0.85
        energy = _ENERGY[name] + (0.0 if name == "end" else rng.uniform(-0.08, 0.08))
        sections.append(Section(name, start, length, players, float(min(energy, 1.0)), bool(has_fill)))
        start += length
    return tuple(sections)


def _names(rng: np.random.Generator, num_bars: int, unit: int) -> Iterator[tuple[str, int]]:
    """Section names and lengths without end; short songs go to the chorus at once."""
    if num_bars <= 2 * unit:
        yield "chorus", unit
    elif rng.random() < 0.85:
        yield "intro", pick(rng, (max(unit // 2, 1), unit)) if num_bars > 4 * unit else max(unit // 4, 1)
    if 2 * unit < num_bars <= 3 * unit:
        yield "chorus", unit
    while True:
        for name in _MIDDLES:
            if name in {"bridge", "break"} and rng.random() < 0.4:
                continue
            yield name, max(unit // 2, 1) if name == "break" else unit


def _players(rng: np.random.Generator, name: str) -> tuple[str, ...]:
    """Who plays in a section."""
    if name == "end":
        return PLAYERS
    if name == "intro":
        first = pick(rng, (("keys",), ("guitar",), ("drums",), ("drums", "bass"), ("keys", "guitar")))
        return _ordered({*first, *(p for p in PLAYERS[:4] if rng.random() < 0.35)})
    if name == "break":
        return pick(
            rng,
            (("drums",), ("drums", "bass"), ("keys", "lead"), ("guitar", "bass"), ("bass", "keys"), PLAYERS[1:]),
        )
    if name == "verse":
        comping = pick_weighted(rng, ((("keys",), 1.0), (("guitar",), 1.0), (("keys", "guitar"), 1.5)))
        rhythm = [p for p in ("drums", "bass") if rng.random() < 0.93]
        return _ordered({*comping, *rhythm, *(["lead"] if rng.random() < 0.4 else [])})
    absent = pick(rng, PLAYERS) if rng.random() < (0.15 if name == "chorus" else 0.6) else ""
    return tuple(player for player in PLAYERS if player != absent)


def _ordered(players: set[str]) -> tuple[str, ...]:
    """In the order of `PLAYERS`: the order of a set of strings differs between processes."""
    return tuple(player for player in PLAYERS if player in players)
