"""The soloist: a motif that is repeated and varied, on chord notes where it counts."""

import numpy as np

from gigmate.music.band.chance import pick
from gigmate.music.band.scene import Event, Scene
from gigmate.music.band.theory import melody_pitch_classes

_STEPS = (-2, -1, -1, -1, 0, 1, 1, 1, 2, 3, -3)
_LOW, _HIGH = 62, 86
Motif = list[tuple[float, float, int]]
"""Start and length in beats, and the step from the note before in notes of the scale."""


def play_lead(scene: Scene) -> list[Event]:
    """The melody of a section: motif, motif, motif with another end, or answers with rests between in a verse."""
    material, moment = scene.material("lead"), scene.moment("lead")
    if scene.is_end:
        return [Event(scene.start_beat, 0.9 * scene.meter, _snap(scene, 72, scene.start_beat, is_strong=True), 92.0)]
    cell_beats = 2.0 * scene.meter
    motif, ending = (_motif(material, cell_beats, scene.style.melody) for _ in range(2))
    centre = int(material.integers(68, 77))
    is_sparse = scene.section.name in {"verse", "intro"} and material.random() < 0.6
    events: list[Event] = []
    pitch = centre
    for i, start in enumerate(np.arange(scene.start_beat, scene.end_beat, cell_beats).tolist()):
        if is_sparse and i % 2 == 0:
            continue
        pitch = (pitch + 2 * centre) // 3  # phrases begin near the middle of the range, whatever went before
        for offset, num_beats, step in ending if i % 4 == 3 else motif:
            beat = start + offset
            if beat >= scene.end_beat:
                break
            varied = step + (pick(moment, (-1, 1)) if moment.random() < 0.08 else 0)
            pitch = _move(scene, pitch, varied, beat, is_strong=num_beats >= 1 or beat % 2 == 0)
            length = min(num_beats, scene.end_beat - beat)
            events.append(Event(beat, 0.94 * length, pitch, 100.0 if beat % 1 == 0 else 90.0))
    return events


def _motif(rng: np.random.Generator, num_beats: float, lengths: tuple[float, ...]) -> Motif:
    """A rhythm with a contour that leaves some rest before its end."""
    beat, end = pick(rng, (0.0, 0.0, 0.5, 1.0)), num_beats - pick(rng, (0.0, 0.5, 1.0, 1.5))
    motif: Motif = []
    while beat < end:
        length = min(pick(rng, lengths), end - beat)
        motif.append((beat, length, pick(rng, _STEPS)))
        beat += length
        if rng.random() < 0.1:
            beat += 0.5
    return motif


def _move(scene: Scene, pitch: int, step: int, beat: float, *, is_strong: bool) -> int:
    """`step` notes up or down the scale that fits the chord, turning back at the ends of the range."""
    allowed = melody_pitch_classes(scene.scale, scene.chord_at(beat))
    ladder = [p for p in range(_LOW, _HIGH + 1) if p % 12 in allowed]
    here = min(range(len(ladder)), key=lambda i: abs(ladder[i] - pitch))
    there = here + step
    if not 0 <= there < len(ladder):
        there = here - step
    return _snap(scene, ladder[there], beat, is_strong=is_strong)


def _snap(scene: Scene, pitch: int, beat: float, *, is_strong: bool) -> int:
    """On strong or long notes the nearest note of the chord, else the pitch as it is."""
    pcs = scene.chord_at(beat).pitch_classes
    if not is_strong or pitch % 12 in pcs:
        return pitch
    return min((p for p in range(_LOW, _HIGH + 1) if p % 12 in pcs), key=lambda p: (abs(p - pitch), p))
