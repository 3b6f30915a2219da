"""How a session is played: what the client said in its hello, and turned since."""

from dataclasses import dataclass, fields, replace
from typing import Any

from gigmate.live.beat_source import BeatSource, SourceName
from gigmate.live.beats import beat_source
from gigmate.live.frames import SlotSettings
from gigmate.live.messages import Control, Hello

_SWITCHES = {"lay_out": "is_laid_out", "solo": "is_solo"}


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session.

    Args:
        sample_rate: Hz of the client, both ways.
        is_pcm16: its samples have 16 bits; else they are float32.
        instrument: what is played.
        seed: same seed, same input, same stem.
        beats: where the beat comes from.
        bpm: for beats `tempo`.
        beats_per_bar: of the bars.
        lookahead_ms: how far ahead is played, negative; None: as the path needs it.
        device_delay_ms: of the client's microphone and loudspeaker together.
        buffer_ms: that its playback keeps.
        temperature: see `SlotSettings`, as the next two.
        guidance: scale of the conditions.
        density: -1..1.
        is_laid_out: plays silence.
        is_solo: plays without hearing the mix.
        gain: by which the mix is multiplied before it is heard; None: slow automatic gain.
    """

    sample_rate: int
    is_pcm16: bool = True
    instrument: str = "drums"
    seed: int = 0
    beats: SourceName = "tracker"
    bpm: float | None = None
    beats_per_bar: int = 4
    lookahead_ms: float | None = None
    device_delay_ms: float = 0.0
    buffer_ms: float = 0.0
    temperature: float = 1.0
    guidance: float = 2.0
    density: float = 0.0
    is_laid_out: bool = False
    is_solo: bool = False
    gain: float | None = None

    @classmethod
    def from_hello(cls, hello: Hello) -> "SessionSettings":
        """What a client asks for."""
        shared = {field.name for field in fields(cls)} & {field.name for field in fields(Hello)}
        settings = cls(is_pcm16=hello.format == "pcm16", **{name: getattr(hello, name) for name in shared})
        return replace(settings, lookahead_ms=hello.lookahead_ms or None)

    def beat_source(self, codec_rate: int) -> BeatSource:
        """The source of the beat grid, for mix frames at this rate."""
        return beat_source(
            self.beats,
            sample_rate=self.sample_rate,
            codec_rate=codec_rate,
            bpm=self.bpm,
            beats_per_bar=self.beats_per_bar,
        )

    def slot(self, lookahead_frames: int) -> SlotSettings:
        """The same for the engine."""
        return SlotSettings(
            instrument=self.instrument,
            lookahead_frames=lookahead_frames,
            seed=self.seed,
            temperature=self.temperature,
            guidance=self.guidance,
            density=self.density,
        )


def turned_values(control: Control) -> dict[str, Any]:
    """The fields of `SessionSettings` that a control message gives; a lookahead of 0 is none."""
    given = {field.name: getattr(control, field.name) for field in fields(control)}
    values = {_SWITCHES.get(name, name): value for name, value in given.items() if value is not None}
    return values | ({"lookahead_ms": values["lookahead_ms"] or None} if "lookahead_ms" in values else {})
