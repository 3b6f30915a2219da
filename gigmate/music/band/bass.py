"""The bass player: figures over the roots, or a line that walks from chord to chord."""

import numpy as np

from gigmate.music.band.scene import Event, Hit, Scene
from gigmate.music.band.theory import ChordSpan

_LOWEST = 28  # the open E string
_HIGHEST = 50


def play_bass(scene: Scene) -> list[Event]:
    """The bass of a section."""
    material = scene.material("bass")
    figure = scene.figure(material, scene.style.bass)
    if figure == "walk":
        return _walk(scene, scene.moment("bass"))
    events = []
    hits = _with_changes(scene, list(scene.hits(figure)))
    for hit in hits:
        chord = scene.chord_at(hit.beat)
        pitch = _pitch_of(hit.sign, chord, scene.chord_at(hit.beat + hit.num_beats))
        length = min(hit.num_beats, chord.end_beat - hit.beat)
        if hit.sign == "g":
            events.append(Event(hit.beat, 0.12, pitch, 48.0))
        else:
            events.append(Event(hit.beat, 0.93 * length, pitch, 104.0 if hit.beat == chord.start_beat else 92.0))
    return events


def _with_changes(scene: Scene, hits: list[Hit]) -> list[Hit]:
    """The hits, and a root wherever a held note would sleep through a change of chord."""
    added = []
    for hit in hits:
        end = hit.beat + hit.num_beats
        added += [Hit(c.start_beat, end - c.start_beat, "R") for c in scene.chords if hit.beat < c.start_beat < end]
    return sorted(hits + added)


def _root(chord: ChordSpan) -> int:
    """The chord's root in the lowest octave of the instrument."""
    return _LOWEST + (chord.root_pc - _LOWEST) % 12


def _pitch_of(sign: str, chord: ChordSpan, following: ChordSpan) -> int:
    """The pitch that a sign of a bass figure means over a chord."""
    root = _root(chord)
    if sign == "A":
        target = _root(following)
        if following == chord:
            return root + chord.interval_near(7)
        return target - 1 if target > root else target + 1
    interval = {"O": 12, "5": chord.interval_near(7), "3": chord.interval_near(4), "7": chord.interval_near(10)}
    return root + interval.get(sign, 0)


def _walk(scene: Scene, rng: np.random.Generator) -> list[Event]:
    """A note a beat: roots where chords begin, a step into the next root before, chord notes and scale between."""
    events: list[Event] = []
    pitch = _root(scene.chord_at(scene.start_beat))
    for beat in np.arange(scene.start_beat, scene.end_beat).tolist():
        chord, following = scene.chord_at(beat), scene.chord_at(beat + 1)
        if beat == chord.start_beat or not events:
            pitch = _nearest(pitch, (chord.root_pc,))
        elif following != chord:
            pitch = max(_nearest(pitch, (following.root_pc,)) + (1 if rng.random() < 0.5 else -1), _LOWEST)
        else:
            options = [p for p in _neighbours(pitch) if p % 12 in chord.pitch_classes]
            options += [p for p in (pitch - 2, pitch + 2) if p % 12 in _passing(scene, chord)]
            inside = [p for p in options if _LOWEST <= p <= _HIGHEST] or [_root(chord)]
            pitch = inside[int(rng.integers(len(inside)))]
        events.append(Event(beat, 0.9, pitch, 100.0 if beat == chord.start_beat else 90.0))
        if rng.random() < 0.08:
            events.append(Event(beat + 0.5, 0.3, pitch, 55.0))
    return events


def _passing(scene: Scene, chord: ChordSpan) -> frozenset[int]:
    """Pitch classes for passing notes."""
    return scene.scale | frozenset(chord.pitch_classes)


def _neighbours(pitch: int) -> list[int]:
    """Pitches within a fifth, without the pitch itself."""
    return [pitch + step for step in range(-7, 8) if step]


def _nearest(pitch: int, pcs: tuple[int, ...]) -> int:
    """The pitch of one of `pcs` that is nearest, within the range of the instrument."""
    options = [p for p in range(_LOWEST, _HIGHEST + 1) if p % 12 in pcs]
    return min(options, key=lambda p: (abs(p - pitch), p))
