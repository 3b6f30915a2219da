"""Wave in, stem wave out: what `generate.py`, the server and the notebooks play with.

song ──level, mono, resample──> MixFeatures ─┐
song ──track_beats──> BeatGrid ──────────────┼──> generate ──codes──> codec ──resample, level──> stem
own past (`gigmate.continuation`) ──> codes ─┘
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gigmate.audio import loudness_db, resample, to_channels
from gigmate.checkpoint import check_codec, load_lm
from gigmate.chord_judge import ChordJudge, wanted_classes
from gigmate.codec.base import Codec
from gigmate.codec.catalog import config_of, load_codec
from gigmate.codec.chunks import decode_song
from gigmate.codec.features import MixFeatures
from gigmate.device import Device, captured, use_threads
from gigmate.errors import UsageError
from gigmate.fader import extremes_db, ride
from gigmate.generation.audition import Audition
from gigmate.generation.chord_ear import ChordEar
from gigmate.generation.ears import can_hear, chord_ear_for
from gigmate.generation.manner_ear import shipped_ear
from gigmate.generation.manner_listener import listener_of, louder_db, nothing_heard
from gigmate.generation.note_taste import STRENGTHS, NoteTaste
from gigmate.generation.offline import generate
from gigmate.generation.warm_up import WarmUp
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.graph_stepper import GraphStepper
from gigmate.model.lm import AccompanimentLM
from gigmate.model.stepper import equip
from gigmate.model.streams import codes_of, sounding_notes, streams_of
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import Audio, Performance, Take, fit, headroom_gain, hearing_gain
from gigmate.pitch import UNKNOWN_NOTES
from gigmate.rehearsal import USUAL_DB, rehearse
from gigmate.shapes import Codes, Features, Wave
from gigmate.stopwatch import Stopwatch

Progress = Callable[[int, int], None]

SHIPPED = Path(__file__).parent / "weights" / "nano.safetensors"
"""The language model that comes with the package."""


class Accompanist:
    """A model with its codec, ready to play.

    Args:
        model: the language model, on its device.
        codec: the codec it was trained on.
        dtype: in which the model computes; its weights stay in float32.
    """

    def __init__(self, model: AccompanimentLM, codec: Codec, dtype: torch.dtype = torch.float32) -> None:
        self.model, self.codec, self.dtype = model.eval(), codec, dtype
        self.features = MixFeatures(codec.spec.sample_rate, codec.spec.hop)
        self._warm_ups: dict[str, WarmUp | None] = {}

    @classmethod
    def load(cls, ckpt: Path | None = None, *, codec: Any = None, device: Device | None = None) -> "Accompanist":
        """From a checkpoint (None: the weights that ship) and a codec's config (None: the checkpoint's own).

        Raises:
            CheckpointError: the checkpoint is refused, or was trained on another codec.
        """
        device = device or Device()
        use_threads(device)
        loaded = load_lm(ckpt or SHIPPED, device.device)
        if device.graph:
            loaded.model.stepper = GraphStepper(loaded.model, device.dtype, captured)
        elif device.weights is not None:
            equip(loaded.model, device.weights)
        own = load_codec(codec or config_of(loaded.codec), device.codec_device)
        check_codec(loaded.codec, own.spec, ckpt or SHIPPED)
        return cls(loaded.model, own, device.dtype)

    @property
    def lookahead_range_s(self) -> tuple[float, float]:
        """The lookaheads that the model was trained for, in seconds."""
        config, rate = self.model.config, float(self.codec.spec.frame_rate)
        return config.min_lookahead_frames / rate, config.max_lookahead_frames / rate

    def accompany(
        self,
        song: Audio,
        sample_rate: int,
        take: Take,
        *,
        grid: BeatGrid | None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Performance:
        """Play a stem to a song.

        Args:
            song: [C, N] float32.
            sample_rate: Hz of the song and of what comes out.
            take: how.
            grid: the song's beats; None if unknown.
            seconds: length of stem and mix; None: that of the song.
            progress: called with frames done and frames to do.

        Raises:
            UsageError: a lookahead or instrument that the model doesn't know.
        """
        clock = Stopwatch()
        song = fit(song, song.shape[1] if seconds is None else round(seconds * sample_rate))
        gain = hearing_gain(song)
        with clock.part("features"):
            heard = self.at_codec_rate(song * gain, sample_rate)
            power = self.hear(heard)
        num_frames = self.codec.spec.num_frames(heard.shape[2])
        streams = self.play(num_frames, take, clock, power=power, grid=grid, progress=progress)
        with clock.part("codec"):
            sound = self.sound(streams, instrument_ids([take.instrument]))[0].cpu()
            gains = None
            if take.fader:
                (wanted_db,) = self.wanted_db(self._conditions(num_frames, take, power, grid), num_frames, take.taste)
                gains = ride(sound.mean(dim=0).numpy(), self.codec.spec, take.instrument, take.louder_db, wanted_db)
                sound = sound * torch.from_numpy(gains)
            stem = self.at_song_rate(sound, sample_rate, len(song)) / gain
        stem = fit(stem, song.shape[1])
        return self.finish(stem, song + stem, streams, sample_rate, take, clock, gains)

    def play(
        self,
        num_frames: int,
        take: Take,
        clock: Stopwatch,
        *,
        power: Features | None,
        grid: BeatGrid | None,
        prompt: Codes | None = None,
        progress: Progress | None = None,
    ) -> Codes:
        """What the model writes (`gigmate.model.streams`), [1, K', T]; the prompt [1, K, T_past] comes first in it."""
        conditions = self._conditions(num_frames, take, power, grid)
        if take.louder_db and (prompt is not None or take.instrument not in USUAL_DB):
            what = (
                f"louder_db is {take.louder_db:g}, but who goes on with a stem, or plays other or all, begins as it is"
            )
            raise UsageError("louder", what, "louder_db", "leave it out")
        # who goes on with a stem goes on in its manner, which needn't be the usual one
        taste = take.taste if prompt is None else replace(take.taste, steadiness=0.0, pace=0.0, manner=0.0)
        taste = self.taste_here(taste, take.louder_db)
        device_type = self.model.heads.weight.device.type
        is_reduced = self.dtype != torch.float32
        with clock.part("model"), torch.autocast(device_type, self.dtype, enabled=is_reduced):
            return generate(
                self.model,
                conditions,
                num_frames,
                take.sampler,
                seed=take.seed,
                guidance_scale=take.guidance_scale,
                taste=taste,
                prompt=None if prompt is None else streams_of(prompt, self.model.config),
                warm_ups=[] if prompt is not None else [self.warm_up(take.instrument, take.louder_db)],
                audition=None if power is None else self.audition(conditions, num_frames, take.num_candidates),
                progress=progress,
            )

    def sound(self, streams: Codes, instrument: Tensor) -> Wave:
        """What the model wrote [B, K', T] for the instruments [B] as it sounds, [B, C, N].

        The codec is told the notes, but for those of a whole band, which are its drums' alone.
        """
        notes = sounding_notes(streams, self.model.config)
        if notes is not None:
            is_band = instrument.to(notes.device) == INSTRUMENTS.index("all")
            notes = notes.masked_fill(is_band[:, None], UNKNOWN_NOTES)
        return decode_song(self.codec, codes_of(streams, self.model.config), notes)

    def warm_up(self, instrument: str, louder_db: float = 0.0) -> WarmUp | None:
        """What the player of an instrument has played before the song begins (`gigmate.rehearsal`)."""
        rehearsed = partial(rehearse, self.codec, self.features, self.model.config, instrument)
        if louder_db:
            return rehearsed(louder_db)
        if instrument not in self._warm_ups:
            self._warm_ups[instrument] = rehearsed()
        return self._warm_ups[instrument]

    def taste_here(self, taste: NoteTaste, louder_db: float = 0.0) -> NoteTaste:
        """A taste as it is with this codec, to play so much louder than usual."""
        writes_notes = self.model.config.writes_notes
        is_steady = writes_notes and taste.steadiness > 0
        code_db = self.codec.code_db if is_steady else None  # which may have to be worked out
        code_db, rate = None if code_db is None else code_db - louder_db, self.codec.spec.frame_rate
        manner_ear = shipped_ear() if taste.manner > 0 and can_hear(self.model.config, rate) else None
        return taste.at(rate, code_db, manner_ear, self._chord_ear)

    @property
    def _chord_ear(self) -> ChordEar | None:
        return chord_ear_for(self.model.config, self.codec.spec.frame_rate)

    def wanted_db(self, conditions: FrameConditions, num_frames: int, taste: NoteTaste) -> NDArray[np.float32]:
        """[B, T], how much louder than usual the songs want each frame, as its last step hears it.

        What is played ahead of a song knows it to its end, and is turned up once for all of it: an ear that has heard
        little moves the level by more than songs do (experiments/022_one_level).
        """
        ear, pattern = self.taste_here(taste).manner_ear, self.model.config.build_pattern()
        if ear is None:
            return np.zeros((conditions.batch, num_frames), np.float32)
        steps = step_conditions(conditions, pattern, pattern.num_steps(num_frames))
        device = conditions.instrument.device
        listener = listener_of(ear, pattern.max_delay, device)
        _, manner = listener.hear(nothing_heard(conditions.batch, device), steps)
        of_frames = taste.manner * louder_db(manner, conditions.instrument)[:, pattern.max_delay :]
        of_songs = of_frames.median(dim=1, keepdim=True).values
        return torch.where(conditions.lookahead[:, None] < 0, of_frames, of_songs).cpu().numpy()

    def audition(self, conditions: FrameConditions, num_frames: int, num_candidates: int) -> Audition | None:
        """The search for stems that fit the chords of their mixes; None if there is nothing to choose by."""
        has_drums = bool((conditions.instrument == INSTRUMENTS.index("drums")).any())
        if num_candidates == 1 or has_drums or not self.model.config.build_pattern().is_streamable:
            return None
        is_bass = conditions.instrument == INSTRUMENTS.index("bass")
        wanted = wanted_classes(self.model, conditions, num_frames, is_bass=is_bass, ear=self._chord_ear)
        competing = wanted.repeat_interleave(num_candidates, dim=0)
        players = conditions.instrument.repeat_interleave(num_candidates)
        judge = ChordJudge(partial(self.sound, instrument=players), self.features, competing, num_candidates)
        return Audition(judge, num_candidates)

    def _conditions(
        self, num_frames: int, take: Take, power: Features | None, grid: BeatGrid | None
    ) -> FrameConditions:
        config, rate = self.model.config, self.codec.spec.frame_rate
        if take.instrument not in INSTRUMENTS[: config.num_instruments]:
            allowed = ", ".join(INSTRUMENTS[: config.num_instruments])
            raise UsageError(
                "instrument", f"no instrument {take.instrument!r}", "instrument", f"choose one of {allowed}"
            )
        low_s, high_s = self.lookahead_range_s
        lookahead_s = high_s if take.lookahead_s is None else take.lookahead_s
        if not low_s <= lookahead_s <= high_s:
            what = f"lookahead {lookahead_s} s, but this checkpoint was trained for {low_s}..{high_s} s"
            raise UsageError("lookahead", what, "lookahead_s", "choose a value in that range or pass another ckpt")
        beats = np.zeros((config.beat_features, num_frames), np.float32)
        if grid is not None:
            # the grids of the training data are known, so the model can't tell what a low confidence means
            beats = replace(grid, confidence=1.0).features(num_frames, rate)
        return FrameConditions(
            mix_power=torch.zeros(1, config.mix_features, 0) if power is None else power,
            mix_present=torch.tensor([power is not None]),
            beats=torch.from_numpy(beats)[None],
            instrument=instrument_ids([take.instrument]),
            lookahead=torch.tensor([round(lookahead_s * rate)]),
        )

    def at_codec_rate(self, wave: Audio, sample_rate: int) -> Wave:
        """[C, N] at the song's rate -> [1, C', N'] at the codec's."""
        spec = self.codec.spec
        resampled = resample(to_channels(wave, spec.channels), sample_rate, spec.sample_rate)
        return torch.from_numpy(np.ascontiguousarray(resampled, np.float32))[None]

    def at_song_rate(self, wave: torch.Tensor, sample_rate: int, channels: int) -> Audio:
        """[C', N'] at the codec's rate -> [C, N] at the song's."""
        return to_channels(resample(wave.cpu().numpy(), self.codec.spec.sample_rate, sample_rate), channels)

    def hear(self, heard: Wave) -> Features:
        """[1, C', N'] at the codec's rate -> power [1, D, T] of its mono mix."""
        return self.features.analyse(heard.mean(dim=1, keepdim=True))

    def finish(
        self,
        stem: Audio,
        mix: Audio,
        streams: Codes,
        sample_rate: int,
        take: Take,
        clock: Stopwatch,
        gains: Audio | None = None,
    ) -> Performance:
        """What was played [C, N], kept from clipping, with its report; `gains`: of its fader, if it had one."""
        mix_gain = headroom_gain(mix)
        seconds, largest_s = stem.shape[1] / sample_rate, self.lookahead_range_s[1]
        report = {
            "instrument": take.instrument,
            "seed": take.seed,
            "seconds": seconds,
            "sample_rate": sample_rate,
            "lookahead_s": largest_s if take.lookahead_s is None else take.lookahead_s,
            "guidance_scale": take.guidance_scale,
            "num_candidates": take.num_candidates,
            **{name: getattr(take.taste, name) for name in STRENGTHS},
            "louder_db": take.louder_db,
            "fader_db": None if gains is None else extremes_db(gains),
            "stem_level_db": round(loudness_db(stem), 2),
            "stem_peak": round(float(np.abs(stem).max(initial=0.0)), 4),
            "mix_turned_down_db": round(20 * float(np.log10(1 / mix_gain)), 2),
            "compute_s": {name: round(value, 3) for name, value in clock.seconds.items()},
            "real_time_factor": round(seconds / max(clock.total_s, 1e-9), 2),
        }
        stem = stem * headroom_gain(stem)
        mix = (mix * mix_gain).astype(np.float32)
        codes = codes_of(streams, self.model.config)[0].cpu().numpy()
        written = sounding_notes(streams, self.model.config)
        notes = None if written is None else written[0].cpu().numpy()
        return Performance(stem.astype(np.float32), mix, codes, notes, sample_rate, report)


def instrument_ids(names: Sequence[str]) -> Tensor:
    """[B] int64: the numbers by which the model knows instruments."""
    return torch.tensor([INSTRUMENTS.index(name) for name in names])
