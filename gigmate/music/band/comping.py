"""Keys and guitar: chords in the rhythm of a figure, voiced so that the fingers move little."""

from gigmate.music.band.scene import Event, Hit, Scene
from gigmate.music.band.theory import ChordSpan, nearest_voicing

_STRUM_S = 0.011


def play_keys(scene: Scene) -> list[Event]:
    """The keyboard of a section."""
    material = scene.material("keys")
    figure = scene.figure(material, scene.style.keys)
    centre = 60.0 + float(material.integers(0, 7))
    voicing: tuple[int, ...] = ()
    events: list[Event] = []
    for hit in _changed(scene, figure):
        chord = _meant(scene, hit)
        voicing = nearest_voicing(chord, voicing, centre, num_notes=4)
        if hit.sign == "B":
            events.append(Event(hit.beat, hit.num_beats, 40 + (chord.root_pc - 40) % 12, 84.0))
        elif hit.sign.isdigit():
            events.append(_broken(hit, voicing))
        else:
            events += _struck(hit, voicing)
    return events


def play_guitar(scene: Scene) -> list[Event]:
    """The guitar of a section."""
    material = scene.material("guitar")
    figure = scene.figure(material, scene.style.guitar)
    if scene.is_end and any("p" in option for option in scene.style.guitar):
        figure = figure.replace("x", "p")
    num_notes, centre = (4, 58.0) if material.random() < 0.6 else (3, 64.0)
    upper: tuple[int, ...] = ()
    events: list[Event] = []
    for i, hit in enumerate(_changed(scene, figure)):
        chord = _meant(scene, hit)
        upper = nearest_voicing(chord, upper, centre, num_notes)
        low_root = 40 + (chord.root_pc - 40) % 12
        if hit.sign == "p":
            fifth = low_root + chord.interval_near(7)
            events += _strummed(hit, (low_root, fifth, low_root + 12), is_up=False)
        elif hit.sign == "B":
            events.append(Event(hit.beat, hit.num_beats, low_root, 88.0))
        elif hit.sign.isdigit():
            events.append(_broken(hit, (low_root, *upper)))
        elif hit.sign == "m":
            events += [e._replace(num_beats=0.08, velocity=52.0) for e in _strummed(hit, upper, is_up=i % 2 == 1)]
        else:
            strings = (low_root, *upper) if num_notes == 4 and hit.sign in "Xx" and min(upper) > low_root else upper
            events += _strummed(hit, strings, is_up=hit.beat % 1 != 0)
    return events


def _changed(scene: Scene, figure: str) -> list[Hit]:
    """The hits, and the chord again wherever a held one would sleep through a change."""
    hits = list(scene.hits(figure))
    for hit in tuple(hits):
        end = hit.beat + hit.num_beats
        if hit.sign in "Xxp":
            starts = [c.start_beat for c in scene.chords if hit.beat < c.start_beat < end]
            hits += [Hit(start, end - start, hit.sign) for start in starts]
    return sorted(hits)


def _meant(scene: Scene, hit: Hit) -> ChordSpan:
    """The chord to play: `>` anticipates the one that comes."""
    return scene.chord_at(hit.beat + (0.5 if hit.sign == ">" else 0.0))


def _length(hit: Hit) -> float:
    """Beats for which a hit is held."""
    return min(hit.num_beats, 0.3) if hit.sign == "s" else 0.95 * hit.num_beats


def _struck(hit: Hit, voicing: tuple[int, ...]) -> list[Event]:
    """All notes of a chord at once."""
    loudness = {"X": 104.0, "s": 92.0}.get(hit.sign, 88.0)
    return [Event(hit.beat, _length(hit), pitch, loudness) for pitch in voicing]


def _strummed(hit: Hit, strings: tuple[int, ...], *, is_up: bool) -> list[Event]:
    """A chord string by string; an up stroke starts at the top and is softer."""
    loudness = {"X": 106.0, "p": 100.0}.get(hit.sign, 90.0) - (8.0 if is_up else 0.0)
    order = strings[::-1] if is_up else strings
    return [Event(hit.beat, _length(hit), pitch, loudness - 2.0 * i, i * _STRUM_S / 2) for i, pitch in enumerate(order)]


def _broken(hit: Hit, voicing: tuple[int, ...]) -> Event:
    """One note of a broken chord; digits past the top go on an octave higher."""
    index = int(hit.sign)
    pitch = voicing[index % len(voicing)] + 12 * (index // len(voicing))
    return Event(hit.beat, max(hit.num_beats, 0.9), pitch, 92.0 if hit.beat % 1 == 0 else 82.0)
