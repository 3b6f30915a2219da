"""Stems of the model under test for many songs at once: what it would play, live or offline, with the beats it has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.accompanist import Accompanist, instrument_ids
from gigmate.codec.chunks import decode_song
from gigmate.evaluation.adherence.pairs import Pair
from gigmate.evaluation.metrics import Mono
from gigmate.fader import ride
from gigmate.generation.note_taste import USUAL_TASTE, NoteTaste
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Sampler, TopK
from gigmate.model.conditions import FrameConditions
from gigmate.music.grid import BeatGrid
from gigmate.music.live_tracker import LiveTracker
from gigmate.music.tracker import track_beats
from gigmate.performance import hearing_gain

_BATCH = 8


@dataclass(frozen=True)
class PlayingStyle:
    """How the stems are made.

    Args:
        beats: `track` (found in the mix: by the live tracker if it is played live, lookahead < 0), `known` or `none`.
        guidance_scale: see `generate`.
        seed: of the draws.
        sampler: how codes are drawn.
        num_candidates: see `Take`; of what is played live there is only one, for nobody waits for the others.
        taste: see `Take`.
        warms_up: whether they have played before the song begins (`gigmate.rehearsal`).
        fader: see `Take`.
    """

    beats: str = "track"
    guidance_scale: float = 2.0
    seed: int = 0
    sampler: Sampler = TopK()  # noqa: RUF009 (it is frozen)
    num_candidates: int = 2
    taste: NoteTaste = USUAL_TASTE
    warms_up: bool = True
    fader: bool = True


def play_pairs(player: Accompanist, pairs: Sequence[Pair], lookahead_s: float, style: PlayingStyle) -> list[Mono]:
    """A stem [N] for every pair, at the level of its song.

    Args:
        player: at whose codec's rate the pairs are.
        pairs: of any instruments and lengths.
        lookahead_s: how far ahead the mix is heard.
        style: how they are made.
    """
    stems: dict[int, Mono] = {}
    kinds = sorted({_kind(pair) for pair in pairs})
    for kind in kinds:
        alike = [i for i, pair in enumerate(pairs) if _kind(pair) == kind]
        for first in range(0, len(alike), _BATCH):
            chosen = alike[first : first + _BATCH]
            played = _play_batch(player, [pairs[i] for i in chosen], lookahead_s, style)
            stems |= dict(zip(chosen, played, strict=True))
    return [stems[i] for i in range(len(pairs))]


def _kind(pair: Pair) -> tuple[int, bool]:
    """What the pairs of a batch have in common: drums aren't auditioned."""
    return len(pair.mix), pair.instrument == "drums"


def through_codec(player: Accompanist, wave: Mono) -> Mono:
    """What the codec leaves of a stem: no model can sound more like it."""
    length, spec = len(wave), player.codec.spec
    audio = torch.from_numpy(np.ascontiguousarray(wave))[None, None].expand(-1, spec.channels, -1)
    return _fitted(decode_song(player.codec, player.codec.encode(audio))[0].mean(dim=0).cpu().numpy(), length)


def _play_batch(player: Accompanist, pairs: Sequence[Pair], lookahead_s: float, style: PlayingStyle) -> list[Mono]:
    spec = player.codec.spec
    lookahead = round(lookahead_s * float(spec.frame_rate))
    num_frames = spec.num_frames(len(pairs[0].mix))
    gains = [hearing_gain(pair.mix[None]) for pair in pairs]
    heard = [torch.from_numpy(pair.mix * np.float32(gain)) for pair, gain in zip(pairs, gains, strict=True)]
    conditions = FrameConditions(
        mix_power=torch.cat([player.hear(wave[None, None]) for wave in heard]),
        mix_present=torch.ones(len(pairs), dtype=torch.bool),
        beats=torch.from_numpy(np.stack([_beats(pair, style.beats, num_frames, lookahead, player) for pair in pairs])),
        instrument=instrument_ids([pair.instrument for pair in pairs]),
        lookahead=torch.full((len(pairs),), lookahead),
    )
    taste = player.taste_here(style.taste)
    device_type = player.model.heads.weight.device.type
    with torch.no_grad(), torch.autocast(device_type, player.dtype, enabled=player.dtype != torch.float32):
        streams = generate(
            player.model,
            conditions,
            num_frames,
            style.sampler,
            seed=style.seed,
            guidance_scale=style.guidance_scale,
            taste=taste,
            warm_ups=[player.warm_up(pair.instrument) if style.warms_up else None for pair in pairs],
            audition=player.audition(conditions, num_frames, style.num_candidates if lookahead >= 0 else 1),
        )
    rows = zip(streams.split(1), conditions.instrument.split(1), strict=True)
    waves = [player.sound(row, instrument)[0].mean(dim=0).cpu().numpy() for row, instrument in rows]
    if style.fader:
        wanted_db = player.wanted_db(conditions, num_frames, style.taste)
        waves = [
            wave * ride(wave, spec, pair.instrument, wanted_db=each)
            for wave, pair, each in zip(waves, pairs, wanted_db, strict=True)
        ]
    return [_fitted(wave, len(pairs[0].mix)) / np.float32(gain) for wave, gain in zip(waves, gains, strict=True)]


def _fitted(wave: Mono, length: int) -> Mono:
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def _beats(pair: Pair, kind: str, num_frames: int, lookahead: int, player: Accompanist) -> NDArray[np.float32]:
    """Features [G, T] of the grid that the model is given."""
    rate = player.codec.spec.frame_rate
    if kind == "none":
        return np.zeros((player.model.config.beat_features, num_frames), np.float32)
    if kind == "track" and lookahead < 0:
        delay = player.model.config.build_pattern().max_delay
        return live_features(pair.mix, pair.sample_rate, num_frames, player.codec.spec.hop, delay - lookahead)
    grid = pair.grid if kind == "known" else track_beats(pair.mix, pair.sample_rate)
    return _known(grid).features(num_frames, rate)


def live_features(mix: Mono, sample_rate: int, num_frames: int, hop: int, behind: int) -> NDArray[np.float32]:
    """Beat features [G, T] as they are known live: those of frame n by a tracker that has heard frames <= n - behind.

    Zeros as long as it has found no beat.
    """
    tracker, columns = LiveTracker(sample_rate), []
    rate = sample_rate / hop
    empty = BeatGrid.from_tempo(120, 4, 1).features(1, rate) * 0
    for frame in range(num_frames):
        newest = frame - behind
        if newest >= 0:
            tracker.push(mix[newest * hop : (newest + 1) * hop])
        grid = tracker.grid
        columns.append(empty if grid is None else _known(grid).features(1, rate, start_frame=frame))
    return np.concatenate(columns, axis=1)


def _known(grid: BeatGrid) -> BeatGrid:
    """The model has only met certain grids: it can't tell what a low confidence means."""
    return replace(grid, confidence=1.0)
