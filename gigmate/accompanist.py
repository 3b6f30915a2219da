"""Wave in, stem wave out: what `generate.py`, the server and the notebooks play with.

song ──level, mono, resample──> MixFeatures ─┐
song ──track_beats──> BeatGrid ──────────────┼──> generate ──codes──> codec ──resample, level──> stem
own past (continuation) ──codec──> codes ────┘
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.audio import loudness_db, resample, to_channels
from gigmate.checkpoint import check_codec, load_lm
from gigmate.codec.base import Codec
from gigmate.codec.catalog import config_of, load_codec
from gigmate.codec.chunks import decode_song, encode_song
from gigmate.codec.features import MixFeatures
from gigmate.continuation import join
from gigmate.device import Device, use_threads
from gigmate.errors import InputError, UsageError
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Sampler, TopK
from gigmate.model.conditions import FrameConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.shapes import Codes, Wave

Audio = NDArray[np.float32]
Progress = Callable[[int, int], None]

SHIPPED = Path(__file__).parent / "weights" / "nano.safetensors"
"""The language model that comes with the package."""

HEARD_DB = -18.0
"""Level (RMS, dBFS) at which the model hears every song: that of its training data."""

_MAX_LIFT_DB = 40.0  # a nearly silent song isn't lifted any further: its noise would be heard as music
_WARM_UP_FRAMES = 100  # of the past are decoded before a continuation, so that the codec is in the middle of the song


@dataclass(frozen=True)
class Take:
    """How one performance is to be played.

    Args:
        instrument: one of `INSTRUMENTS`.
        lookahead_s: how far ahead the song is heard, negative for live; None: the largest the model knows.
        seed: same seed, same stem.
        guidance_scale: above 1 song and beats count for more than was learned (experiments/002); 1 takes half the time.
        sampler: how codes are drawn.
    """

    instrument: str = "drums"
    lookahead_s: float | None = None
    seed: int = 0
    guidance_scale: float = 3.0
    sampler: Sampler = field(default_factory=TopK)


@dataclass(frozen=True)
class Performance:
    """What was played.

    Args:
        stem: [C, N] float32, what the model played, at the song's rate and level; turned down if it would clip.
        mix: [C, N] float32, the song with it, likewise.
        codes: [K, T] int64, the stem's codes.
        sample_rate: Hz.
        report: facts and timings, primitives only.
    """

    stem: Audio
    mix: Audio
    codes: NDArray[np.int64]
    sample_rate: int
    report: dict[str, Any]


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

    @classmethod
    def load(cls, ckpt: Path | None = None, *, codec: Any = None, device: Device | None = None) -> "Accompanist":
        """From a checkpoint (None: the weights that ship) and a codec's config (None: the checkpoint's own).

        Raises:
            CheckpointError: the checkpoint is refused, or was trained on another codec.
        """
        device = device or Device()
        use_threads(device)
        loaded = load_lm(ckpt or SHIPPED, device.device)
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
        song = _fit(song, song.shape[1] if seconds is None else round(seconds * sample_rate))
        gain = _hearing_gain(song)
        with clock.part("features"):
            heard = self._at_codec_rate(song * gain, sample_rate)
            power = self._power(heard)
        codes = self._play(
            self.codec.spec.num_frames(heard.shape[2]), take, clock, power=power, grid=grid, progress=progress
        )
        with clock.part("codec"):
            stem = self._at_song_rate(decode_song(self.codec, codes)[0], sample_rate, len(song)) / gain
        stem = _fit(stem, song.shape[1])
        return self._performance(stem, song + stem, codes, sample_rate, take, clock)

    def continue_song(
        self,
        song: Audio,
        sample_rate: int,
        take: Take,
        *,
        grid: BeatGrid | None,
        seconds: float,
        stem: Audio | None = None,
        progress: Progress | None = None,
    ) -> Performance:
        """Go on where the song ends; or, with a stem, where the stem ends, to the song (which may have ended too).

        Args:
            song: [C, N] float32.
            sample_rate: Hz of song and stem.
            take: how; its instrument is what the past is: `all` for a whole song.
            grid: the song's beats, extrapolated past its end; None if unknown.
            seconds: how much is played.
            stem: [C, N'] float32, the stem's past; None: the song is its own past and nothing else is heard.
            progress: called with frames done and frames to do.

        Returns:
            Its `stem` is what was played, `seconds` long; its `mix` the past with that joined on, and the song if it is
            another one.

        Raises:
            InputError: a past shorter than a frame.
            UsageError: as `accompany`.
        """
        clock, spec = Stopwatch(), self.codec.spec
        past, gain = song if stem is None else stem, _hearing_gain(song)
        length = past.shape[1] + round(seconds * sample_rate)
        with clock.part("codec"):
            heard = self._at_codec_rate(past * gain, sample_rate)
            whole = heard.shape[2] // spec.hop
            if whole == 0:
                raise InputError("too_short", f"{past.shape[1]} samples, but a frame needs {spec.hop}", "the past")
            prompt = encode_song(self.codec, heard[..., : whole * spec.hop])
        with clock.part("features"):
            power = None if stem is None else self._power(self._at_codec_rate(song * gain, sample_rate))
        frames = spec.num_frames(round(length / sample_rate * spec.sample_rate))
        codes = self._play(frames, take, clock, power=power, grid=grid, prompt=prompt, progress=progress)
        with clock.part("codec"):
            first = max(0, whole - _WARM_UP_FRAMES)
            decoded = self._at_song_rate(decode_song(self.codec, codes[..., first:])[0], sample_rate, len(past)) / gain
            joined = _fit(join(past, decoded, round(first / spec.frame_rate * sample_rate), sample_rate), length)
        mix = joined if stem is None else joined + _fit(to_channels(song, len(past)), length)
        return self._performance(joined[:, past.shape[1] :], mix, codes, sample_rate, take, clock)

    def _play(
        self,
        num_frames: int,
        take: Take,
        clock: "Stopwatch",
        *,
        power: torch.Tensor | None,
        grid: BeatGrid | None,
        prompt: Codes | None = None,
        progress: Progress | None = None,
    ) -> Codes:
        """Codes [1, K, T] of the stem, the prompt included."""
        conditions = self._conditions(num_frames, take, power, grid)
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
                prompt=prompt,
                progress=progress,
            )

    def _conditions(
        self, num_frames: int, take: Take, power: torch.Tensor | None, grid: BeatGrid | None
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
            instrument=torch.tensor([INSTRUMENTS.index(take.instrument)]),
            lookahead=torch.tensor([round(lookahead_s * rate)]),
        )

    def _at_codec_rate(self, wave: Audio, sample_rate: int) -> Wave:
        """[C, N] at the song's rate -> [1, C', N'] at the codec's."""
        spec = self.codec.spec
        resampled = resample(to_channels(wave, spec.channels), sample_rate, spec.sample_rate)
        return torch.from_numpy(np.ascontiguousarray(resampled, np.float32))[None]

    def _at_song_rate(self, wave: torch.Tensor, sample_rate: int, channels: int) -> Audio:
        """[C', N'] at the codec's rate -> [C, N] at the song's."""
        return to_channels(resample(wave.cpu().numpy(), self.codec.spec.sample_rate, sample_rate), channels)

    def _power(self, heard: Wave) -> torch.Tensor:
        return self.features.analyse(heard.mean(dim=1, keepdim=True))

    def _performance(
        self, stem: Audio, mix: Audio, codes: Codes, sample_rate: int, take: Take, clock: "Stopwatch"
    ) -> Performance:
        mix_gain = _headroom_gain(mix)
        seconds, largest_s = stem.shape[1] / sample_rate, self.lookahead_range_s[1]
        report = {
            "instrument": take.instrument,
            "seed": take.seed,
            "seconds": seconds,
            "sample_rate": sample_rate,
            "lookahead_s": largest_s if take.lookahead_s is None else take.lookahead_s,
            "guidance_scale": take.guidance_scale,
            "stem_level_db": round(loudness_db(stem), 2),
            "stem_peak": round(float(np.abs(stem).max(initial=0.0)), 4),
            "mix_turned_down_db": round(20 * float(np.log10(1 / mix_gain)), 2),
            "compute_s": {name: round(value, 3) for name, value in clock.seconds.items()},
            "real_time_factor": round(seconds / max(clock.total_s, 1e-9), 2),
        }
        stem = stem * _headroom_gain(stem)
        mix = (mix * mix_gain).astype(np.float32)
        return Performance(stem.astype(np.float32), mix, codes[0].cpu().numpy(), sample_rate, report)


class Stopwatch:
    """Wall-clock seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block to `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def total_s(self) -> float:
        """All parts together."""
        return sum(self.seconds.values())


def _fit(wave: Audio, length: int) -> Audio:
    """[C, N] cut or followed by silence to [C, length]."""
    return np.pad(wave[:, :length], ((0, 0), (0, max(0, length - wave.shape[1]))))


def _headroom_gain(wave: Audio) -> float:
    """What keeps the wave within -0.99..0.99; 1 if it is."""
    return min(1.0, 0.99 / max(float(np.abs(wave).max(initial=0.0)), 1e-9))


def _hearing_gain(song: Audio) -> float:
    """What brings the song to `HEARD_DB`; 1 for silence."""
    level_db = loudness_db(song)
    if not np.isfinite(level_db) or level_db < HEARD_DB - 2 * _MAX_LIFT_DB:
        return 1.0
    return float(10 ** (min(HEARD_DB - level_db, _MAX_LIFT_DB) / 20))
