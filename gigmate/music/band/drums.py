"""The drummer: a groove of the style, varied for the section, with fills and crashes at its edges."""

import numpy as np

from gigmate.music.band.chance import pick
from gigmate.music.band.scene import Event, Scene
from gigmate.music.band.styles import Groove

DRUM_KEYS = {
    "kick": 36,
    "snare": 38,
    "rim": 37,
    "clap": 39,
    "hat": 42,
    "pedal": 44,
    "open_hat": 46,
    "ride": 51,
    "shaker": 70,
    "tambourine": 54,
    "cowbell": 56,
    "conga": 63,
    "crash": 49,
    "high_tom": 50,
    "mid_tom": 47,
    "low_tom": 43,
}
"""General MIDI key of each drum."""

_LOUDNESS = {"X": 118.0, "x": 96.0, "o": 66.0, "g": 38.0}
_FILLS = (  # a beat each: the drums that a run of sixteenths walks over
    ("snare", "snare", "snare", "snare"),
    ("snare", "", "snare", "snare"),
    ("high_tom", "high_tom", "mid_tom", "mid_tom"),
    ("snare", "high_tom", "mid_tom", "low_tom"),
    ("low_tom", "", "low_tom", "snare"),
    ("mid_tom", "", "low_tom", ""),
    ("snare", "", "kick", "kick"),
)


def play_drums(scene: Scene) -> list[Event]:
    """The drums of a section."""
    if scene.is_end:
        return [_event(scene.start_beat, drum, "X") for drum in ("kick", "crash")]
    material, moment = scene.material("drums"), scene.moment("drums")
    groove = _vary(pick(material, scene.style.grooves), material, scene.section.energy)
    fill_beats = float(pick(moment, (1, 2, 2, scene.meter))) if scene.section.has_fill else 0.0
    fill_start = scene.end_beat - fill_beats
    events = [
        _event(hit.beat, drum, hit.sign)
        for drum, figure in groove._asdict().items()
        if figure
        for hit in scene.hits(figure)
        if hit.beat < fill_start
    ]
    events += _fill(moment, fill_start, int(fill_beats))
    if scene.section.energy > 0.6 and scene.section.start_bar > 0:
        events.append(_event(scene.start_beat, "crash", "X"))
    return events


def _event(beat: float, drum: str, sign: str) -> Event:
    return Event(beat, 0.25, DRUM_KEYS[drum], _LOUDNESS[sign])


def _vary(groove: Groove, rng: np.random.Generator, energy: float) -> Groove:
    """A groove of this kind of section: another timekeeper, a kick more or less."""
    if energy > 0.85 and groove.hat and not groove.ride and rng.random() < 0.4:
        eighths = "".join(sign if i % 2 == 0 else "." for i, sign in enumerate(groove.hat.replace("o", "x")))
        groove = groove._replace(**{"hat": "", pick(rng, ("ride", "open_hat")): eighths})
    if energy < 0.55 and groove.snare and rng.random() < 0.5:
        groove = groove._replace(snare="", rim=groove.snare.replace("g", ".").replace("X", "x"))
    if groove.kick and rng.random() < 0.5:
        kick, place = list(groove.kick), 2 * int(rng.integers(1, len(groove.kick) // 2))
        if place % 4:  # the beats themselves stay as they are
            kick[place] = "o" if kick[place] == "." else "."
        groove = groove._replace(kick="".join(kick))
    return groove


def _fill(rng: np.random.Generator, start_beat: float, num_beats: int) -> list[Event]:
    """A run over snare and toms that gets louder."""
    events = []
    for i in range(num_beats):
        for step, drum in enumerate(pick(rng, _FILLS)):
            if drum:
                loudness = 70.0 + 45.0 * (i + step / 4 + 0.25) / num_beats
                events.append(Event(start_beat + i + step / 4, 0.25, DRUM_KEYS[drum], loudness))
    return events
