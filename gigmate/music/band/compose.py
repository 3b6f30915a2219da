"""A song from a seed: style, key, progressions and form first, then every player's part."""

import numpy as np

from gigmate.music.band.bass import play_bass
from gigmate.music.band.chance import pick, stream
from gigmate.music.band.comping import play_guitar, play_keys
from gigmate.music.band.drums import play_drums
from gigmate.music.band.form import plan_form
from gigmate.music.band.lead import play_lead
from gigmate.music.band.perform import Clock, Feel, beat_times, one_at_a_time, perform
from gigmate.music.band.progressions import (
    NUM_PROGRESSION_GROUPS,
    Progression,
    draw_progression,
    scale_of,
)
from gigmate.music.band.scene import Event, Scene
from gigmate.music.band.song import PLAYERS, Chord, Note, Section, Song
from gigmate.music.band.styles import Style
from gigmate.music.band.styles_groove import JAZZ_AND_DANCE
from gigmate.music.band.styles_pop import ROCK_AND_POP
from gigmate.music.band.theory import ChordSpan, diatonic_chord
from gigmate.music.grid import BeatGrid

STYLES = (*ROCK_AND_POP, *JAZZ_AND_DANCE)
"""Every style that the band plays."""

_PLAY = {"drums": play_drums, "bass": play_bass, "keys": play_keys, "guitar": play_guitar, "lead": play_lead}
_MATERIAL = {"intro": "verse", "break": "verse", "outro": "chorus"}  # sections that borrow another's harmony


def compose(seed: int, duration_s: float | None = None) -> Song:
    """Compose a song: the same one for the same seed and duration, in any process.

    Args:
        seed: 0 or more; neighbouring seeds have nothing in common.
        duration_s: length of the audio, 4..3600; by default the song decides (one to two minutes).

    Raises:
        ValueError: a seed or duration out of range.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, must be >= 0")
    if duration_s is not None and not 4.0 <= duration_s <= 3600.0:
        raise ValueError(f"duration_s is {duration_s}, must be in 4..3600")
    rng = stream(seed, "song")
    length_s = float(rng.uniform(60.0, 120.0)) if duration_s is None else float(duration_s)
    style = pick(rng, STYLES)
    bpm = float(rng.uniform(*style.bpm))
    swing = float(rng.uniform(*style.swing))
    key, mode = int(rng.integers(12)), pick(rng, style.modes)
    group = int(rng.integers(NUM_PROGRESSION_GROUPS))
    start_s = float(rng.uniform(0.05, 0.4))
    drift = float(pick(rng, (0.0, 0.0, 0.004, 0.01)))
    num_bars = max(2, int((length_s - start_s) * bpm / 60.0 / style.meter))

    progressions = {
        name: _progression(stream(seed, "harmony", name), group, mode, style) for name in ("verse", "chorus", "bridge")
    }
    unit = int(max(4, sum(change.num_bars for change in progressions["chorus"])))
    if unit * style.meter * 60.0 / bpm < 9.0:
        unit *= 2
    sections = plan_form(stream(seed, "form"), num_bars, unit)
    chords = _lay_out(sections, progressions, key, mode, style.meter)
    times_s = beat_times(stream(seed, "tempo"), bpm, start_s, length_s, drift)
    clock = Clock(times_s, swing, style.swing_beats)
    heard_s = times_s[times_s <= length_s]
    return Song(
        seed=seed,
        duration_s=length_s,
        style=style.name,
        key=key,
        mode=mode,
        bpm=bpm,
        meter=style.meter,
        swing=swing,
        progression_seed=group,
        sections=sections,
        chords=_timed(chords, times_s, length_s),
        notes=_play(seed, style, sections, chords, scale_of(key, mode), clock, length_s),
        tones=_tones(stream(seed, "tones"), style),
        grid=BeatGrid(heard_s, np.arange(len(heard_s)) % style.meter == 0, style.meter, 1.0),
    )


def _progression(rng: np.random.Generator, group: int, mode: str, style: Style) -> Progression:
    """A progression of the song's group in the manner of a style."""
    return draw_progression(
        rng, group, mode, colour=style.colour, blues=style.blues, bars_per_chord=style.bars_per_chord
    )


def _lay_out(
    sections: tuple[Section, ...], progressions: dict[str, Progression], key: int, mode: str, meter: int
) -> tuple[ChordSpan, ...]:
    """The chords of the whole song: each section repeats its progression, the last bar is the tonic."""
    spans = []
    for section in sections:
        beat = float(section.start_bar * meter)
        end = beat + section.num_bars * meter
        if section.name == "end":
            spans.append(ChordSpan(beat, end, key, diatonic_chord(mode, 1, 3).intervals))
            continue
        progression = progressions[_MATERIAL.get(section.name, section.name)]
        index = 0
        while beat < end:
            chord, num_bars = progression[index % len(progression)]
            stop = min(beat + num_bars * meter, end)
            spans.append(ChordSpan(beat, stop, (key + chord.root) % 12, chord.intervals))
            beat, index = stop, index + 1
    return tuple(spans)


def _timed(chords: tuple[ChordSpan, ...], times_s: np.ndarray, duration_s: float) -> tuple[Chord, ...]:
    """The chords in seconds; the last one rings to the end, those of bars that a short song has no time for are cut."""
    starts_s = np.interp([c.start_beat for c in chords], np.arange(len(times_s)), times_s)
    starts_s = np.minimum(starts_s, duration_s).tolist()
    ends_s = [*starts_s[1:], duration_s]
    return tuple(
        Chord(start, end, chord.root_pc, chord.pitch_classes)
        for chord, start, end in zip(chords, starts_s, ends_s, strict=True)
        if end > start
    )


def _play(
    seed: int,
    style: Style,
    sections: tuple[Section, ...],
    chords: tuple[ChordSpan, ...],
    scale: frozenset[int],
    clock: Clock,
    duration_s: float,
) -> dict[str, tuple[Note, ...]]:
    """Everybody's notes over the whole song."""
    feels = stream(seed, "feel")
    jitter_s = float(feels.uniform(*style.loose_ms)) / 1000.0
    notes = {}
    for player in PLAYERS:
        bias_s = float(feels.uniform(-1.0, 1.0)) * jitter_s
        feel = Feel(0.3 * bias_s if player == "drums" else bias_s, jitter_s, float(feels.uniform(2.0, 7.0)))
        events: list[Event] = []
        for section in sections:
            if player in section.players:
                scene = Scene(seed, style, section, style.meter, chords, scale)
                softness = 0.7 + 0.3 * section.energy
                events += [e._replace(velocity=e.velocity * softness) for e in _PLAY[player](scene)]
        notes[player] = perform(stream(seed, "perform", player), events, clock, feel, duration_s)
        if player in {"bass", "lead"}:
            notes[player] = one_at_a_time(notes[player])
    return notes


def _tones(rng: np.random.Generator, style: Style) -> dict[str, str]:
    """The sound that each player brings."""
    choices = (style.kits, style.basses, style.keyboards, style.guitars, style.leads)
    return {player: pick(rng, options) for player, options in zip(PLAYERS, choices, strict=True)}
