"""The engine: every session's model in one batch, a slot each.

    requests ─ mix frames ─ Hearing ─ tap ─┐
             └ beats, L, told silence ─────┼─ FrameGenerator.step ─ codes of frame c ─ SlotDecoder ─ Fader ─ waves
    slots ──── RowControls, generators ────┘   (rows 0 .. highest slot that is due)

Slots are rows of one cache. A step computes the rows up to the highest that is due, and rows in between that aren't due
stay to the last bit as they are; a new session gets the lowest free slot, so that few sessions cost little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gigmate.accompanist import Accompanist
from gigmate.errors import UsageError
from gigmate.fader import Fader
from gigmate.generation.controls import RowControls
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.note_taste import USUAL_TASTE
from gigmate.generation.sampler import row_generators
from gigmate.generation.step_decoder import FREE
from gigmate.live.decoding import slot_decoder
from gigmate.live.frames import EngineFacts, FrameRequest, SlotSettings, SlotsFull
from gigmate.live.hearing import Hearing
from gigmate.model.conditions import NUM_TAPS, StepConditions
from gigmate.model.streams import known_notes, streams_of
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import REST, UNKNOWN_NOTES
from gigmate.shapes import Codes

DENSITY_BIAS = 3.0
"""What density -1 adds to the logit of silence, and +1 takes off; it also asks for half as many notes, or twice."""

_WARM_UP_CALLS = 3


@dataclass
class _Slot:
    """What the engine keeps of an open slot beside its rows."""

    settings: SlotSettings
    hearing: Hearing
    fader: Fader
    codes: NDArray[np.int64] | None = None
    next_notes: int = UNKNOWN_NOTES
    """Note code of the frame that is decoded next."""


class Engine:
    """A `FrameEngine` on a model.

    One slot alone makes what `Accompanist.accompany` makes offline with the same seed, grid and lookahead, token for
    token. In a batch a slot gets the same distributions to float32's rounding: its codes are the same but where a draw
    falls on a boundary. What other slots do never shows in a slot at an equal batch layout.

    Args:
        accompanist: model and codec.
        capacity: slots.

    Raises:
        UsageError: the codec or the pattern can't be played live.
    """

    def __init__(self, accompanist: Accompanist, capacity: int) -> None:
        model, codec = accompanist.model, accompanist.codec
        self._accompanist, self._device = accompanist, model.heads.weight.device
        config, spec = model.config, codec.spec
        if not (spec.is_causal and config.build_pattern().is_streamable):
            what = f"codec {spec.name} with pattern {config.pattern.name} makes no frame before the piece is over"
            raise UsageError("not_live", what, "ckpt", "pass one with a causal codec and a streamable pattern")
        silence = silent_streams(accompanist)
        self._silence = silence[:, -1]
        biased = torch.zeros(config.num_streams, config.codebook_size)
        for row in range(int(config.writes_notes) + 1):  # rests, and the codec's first codes of silence
            biased[row, silence[row].unique()] = 1.0
        self._controls = RowControls(capacity, biased, self._device)
        taste = accompanist.taste_here(USUAL_TASTE)
        self._generator = FrameGenerator(model, self._controls, batch=capacity, taste=taste)
        self._players: dict[str, FrameGenerator | None] = {}
        self._decoder = slot_decoder(codec, capacity)
        self._draws = row_generators(0, capacity)
        self._slots: list[_Slot | None] = [None] * capacity
        self.facts = EngineFacts(
            capacity=capacity,
            sample_rate=spec.sample_rate,
            hop=spec.hop,
            max_delay=self._generator.max_delay,
            latency_samples=spec.latency_samples,
            num_codebooks=config.num_codebooks,
            beat_features=config.beat_features,
            min_lookahead_frames=config.min_lookahead_frames,
            max_lookahead_frames=config.max_lookahead_frames,
            instruments=INSTRUMENTS[: config.num_instruments],
        )

    def open(self, settings: SlotSettings) -> int:
        """See `FrameEngine`.

        Raises:
            SlotsFull: there is no free slot.
            UsageError: an instrument or lookahead that the model doesn't know.
        """
        if None not in self._slots:
            what = f"all {self.facts.capacity} slots are taken"
            raise SlotsFull("slots_full", what, "capacity", "wait until a session ends or start another server")
        slot = self._slots.index(None)
        self._turn_controls(slot, settings)
        fader = Fader(self._accompanist.codec.spec, settings.instrument)
        self._slots[slot] = _Slot(settings, Hearing(self._accompanist.features), fader)
        if (player := self._warmed(settings.instrument)) is not None:
            self._generator.begin(slot, player)
        (self._draws[slot],) = row_generators(settings.seed, 1)
        return slot

    def close(self, slot: int) -> None:
        """See `FrameEngine`. Nothing of the session stays."""
        self._open_slot(slot)
        rows = torch.zeros(self.facts.capacity, dtype=torch.bool)
        rows[slot] = True
        self._generator.reset(rows)
        self._decoder.reset(slot)
        self._slots[slot] = None

    def set(self, slot: int, settings: SlotSettings) -> None:
        """See `FrameEngine`.

        Raises:
            UsageError: an instrument or lookahead that the model doesn't know.
        """
        current = self._open_slot(slot)
        self._turn_controls(slot, settings)
        if settings.instrument != current.settings.instrument:
            current.fader.take_up(settings.instrument)
        current.settings = settings

    @torch.inference_mode()
    def step(self, requests: Mapping[int, FrameRequest]) -> dict[int, NDArray[np.float32] | None]:
        """See `FrameEngine`.

        Raises:
            ValueError: a slot that isn't open, or a request that makes no sense; nothing has changed then.
        """
        for slot, request in requests.items():
            self._open_slot(slot)
            request.check(self.facts)
        if not requests:
            return {}
        num_rows = max(requests) + 1
        active, plan = torch.zeros(num_rows, dtype=torch.bool), None
        active[list(requests)] = True
        if laid_out := [slot for slot, request in requests.items() if request.is_laid_out]:
            plan = torch.full((num_rows, len(self._silence)), FREE)
            plan[laid_out] = self._silence
        conditions, dtype = self._hear(requests, num_rows), self._accompanist.dtype
        with torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32):
            frame = self._generator.step(conditions, self._draws, active, plan)
        return self._decode(requests, frame)

    def codes(self, slot: int) -> NDArray[np.int64] | None:
        """See `FrameEngine`."""
        return self._open_slot(slot).codes

    def warm_up(self) -> None:
        """Step every batch size, so that no session pays for what is done once.

        Raises:
            ValueError: a slot is open.
        """
        if any(self._slots):
            raise ValueError("warm up before any slot is opened: it takes them all")
        facts = self.facts
        for instrument in facts.instruments:
            self._warmed(instrument)
        settings = SlotSettings(facts.instruments[0], facts.min_lookahead_frames, 0)
        request = FrameRequest(
            mix=np.zeros(facts.hop, np.float32),
            beats=np.zeros(facts.beat_features, np.float32),
            lookahead_frames=facts.min_lookahead_frames,
        )
        slots = [self.open(settings) for _ in range(facts.capacity)]
        for num_rows in range(1, facts.capacity + 1):
            for _ in range(facts.max_delay + _WARM_UP_CALLS):
                self.step(dict.fromkeys(slots[:num_rows], request))
        for slot in slots:
            self.close(slot)

    def _hear(self, requests: Mapping[int, FrameRequest], num_rows: int) -> StepConditions:
        """What the first `num_rows` rows get; zeros in those that aren't due."""
        config = self._accompanist.model.config
        mix = torch.zeros(num_rows, 1, NUM_TAPS, 2 * config.mix_features)
        heard = torch.zeros(num_rows, 1, NUM_TAPS, dtype=torch.bool)
        beats = torch.zeros(num_rows, 1, config.beat_features)
        instrument = torch.zeros(num_rows, dtype=torch.int64)
        lookahead = torch.zeros(num_rows, dtype=torch.int64)
        for row, request in requests.items():
            slot = self._open_slot(row)
            if request.mix is not None:
                slot.hearing.push(request.mix)
            tap = slot.hearing.tap if request.hears_mix else None
            if tap is not None:
                mix[row, 0, 0], heard[row, 0, 0] = tap, True
            beats[row, 0] = torch.from_numpy(request.beats)
            instrument[row] = INSTRUMENTS.index(slot.settings.instrument)
            lookahead[row] = request.lookahead_frames
        return StepConditions(*(part.to(self._device) for part in (mix, heard, beats, instrument, lookahead)))

    def _decode(
        self, requests: Mapping[int, FrameRequest], frame: Tensor | None
    ) -> dict[int, NDArray[np.float32] | None]:
        """Waves of the slots for which `frame` [b, K'] holds codes."""
        config = self._accompanist.model.config
        codes = None if frame is None else frame.cpu()[:, -config.num_codebooks :]
        done = [] if codes is None else [slot for slot in requests if int(codes[slot, 0]) != config.special_id]
        result: dict[int, NDArray[np.float32] | None] = dict.fromkeys(requests)
        for slot in requests:
            self._open_slot(slot).codes = codes[slot].numpy().copy() if codes is not None and slot in done else None
        if frame is not None and codes is not None and done:
            notes = self._take_notes(done, frame)
            waves = self._decoder.decode(done, codes[done], notes).mean(dim=1).float().cpu().numpy()
            louder_db = self._generator.louder_db
            faded = [
                wave * self._open_slot(slot).fader.ride(wave, 0.0 if louder_db is None else float(louder_db[slot]))
                for slot, wave in zip(done, waves, strict=True)
            ]
            result.update(zip(done, faded, strict=True))
        return result

    def _take_notes(self, slots: Sequence[int], frame: Tensor) -> Tensor:
        """Note codes [n] of what slots sound now; those of `frame` [b, K'] sound next."""
        notes = torch.tensor([self._open_slot(slot).next_notes for slot in slots])
        if self._accompanist.model.config.writes_notes:
            written = known_notes(frame[list(slots), 0].cpu())
            for slot, following in zip(slots, written.tolist(), strict=True):
                is_band = self._open_slot(slot).settings.instrument == "all"  # whose notes are its drums' alone
                self._open_slot(slot).next_notes = UNKNOWN_NOTES if is_band else following
        return notes

    def _turn_controls(self, slot: int, settings: SlotSettings) -> None:
        settings.check(self.facts)
        self._controls.set(
            slot,
            temperature=settings.temperature,
            top_k=settings.top_k,
            guidance=settings.guidance,
            bias=-DENSITY_BIAS * settings.density,
            busier=settings.density,
        )

    def _warmed(self, instrument: str) -> FrameGenerator | None:
        """A player of the instrument that has warmed up."""
        if instrument not in self._players:
            warm_up = self._accompanist.warm_up(instrument)
            self._players[instrument] = None if warm_up is None else self._generator.warmed(warm_up)
        return self._players[instrument]

    def _open_slot(self, slot: int) -> _Slot:
        found = self._slots[slot] if 0 <= slot < len(self._slots) else None
        if found is None:
            raise ValueError(f"slot {slot} isn't open")
        return found


def warm_engine(accompanist: Accompanist, capacity: int) -> Engine:
    """An engine that has stepped every batch size.

    Raises:
        UsageError: the codec or the pattern can't be played live.
    """
    engine = Engine(accompanist, capacity)
    engine.warm_up()
    return engine


@torch.inference_mode()
def silent_streams(accompanist: Accompanist) -> Codes:
    """[K', T], what silence that has lasted a second is to the model: the codec's codes of it, and rests."""
    spec, config = accompanist.codec.spec, accompanist.model.config
    second = int(spec.frame_rate)
    codes = accompanist.codec.encode(torch.zeros(1, spec.channels, 2 * second * spec.hop)).cpu()
    rests = torch.full((1, codes.shape[2]), REST)
    return streams_of(codes, config, rests)[0, :, second:]
