"""The engine: alone it is the offline player, in company it is itself, and a slot forgets."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from live_players import GRID, HOP, Part, calls, noise, play_together, state, tiny_player

from gigmate.accompanist import Accompanist
from gigmate.codec.base import Codec
from gigmate.errors import UsageError
from gigmate.generation.sampler import TopK
from gigmate.live.decoding import SeparateDecoder, slot_decoder
from gigmate.live.engine import Engine, silent_streams
from gigmate.live.frames import FrameRequest, SlotSettings, SlotsFull
from gigmate.live.hearing import Hearing
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.pattern import delay
from gigmate.model.streams import codes_of
from gigmate.performance import Take
from gigmate.pitch import NUM_NOTE_CODES, REST, UNKNOWN_NOTES
from gigmate.stopwatch import Stopwatch

NUM_FRAMES, L = 55, -6
DRUMS = SlotSettings("drums", L, seed=3)


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player()


@pytest.fixture(scope="module")
def writer() -> Accompanist:
    """One that writes notes."""
    return tiny_player(writes_notes=True)


@pytest.fixture
def engine(player: Accompanist) -> Engine:
    return Engine(player, 3)


def offline(player: Accompanist, settings: SlotSettings, mix: np.ndarray) -> np.ndarray:
    take = Take(
        settings.instrument,
        settings.lookahead_frames / 50,
        settings.seed,
        settings.guidance,
        TopK(settings.top_k, settings.temperature),
        num_candidates=1,
    )
    power = player.hear(torch.from_numpy(mix.reshape(1, 1, -1)))
    return codes_of(player.play(len(mix) - L, take, Stopwatch(), power=power, grid=GRID), player.model.config)[
        0
    ].numpy()


@pytest.mark.parametrize(
    "settings",
    [DRUMS, SlotSettings("keys", L, 8, temperature=0.8, top_k=9, guidance=1.5), replace(DRUMS, temperature=0)],
)
def test_one_slot_plays_what_is_made_offline_token_for_token(
    player: Accompanist, engine: Engine, settings: SlotSettings
) -> None:
    mix = noise(NUM_FRAMES)
    played = Part(engine, settings).play(*calls(mix, L)).codes
    whole = NUM_FRAMES - L - 3  # the beats beyond the end of the piece are unknown offline
    assert np.array_equal(played[:, :whole], offline(player, settings, mix)[:, :whole])


def test_one_that_writes_notes_plays_what_it_makes_offline(writer: Accompanist) -> None:
    mix, engine = noise(NUM_FRAMES), Engine(writer, 1)
    played = Part(engine, DRUMS).play(*calls(mix, L)).codes
    assert played.shape[0] == writer.codec.spec.num_codebooks
    whole = NUM_FRAMES - L - 3
    assert np.array_equal(played[:, :whole], offline(writer, DRUMS, mix)[:, :whole])


def test_one_that_writes_notes_rests_while_it_is_laid_out(writer: Accompanist) -> None:
    engine = Engine(writer, 1)
    rests = silent_streams(writer)
    assert rests.shape[0] == writer.codec.spec.num_codebooks + 1
    assert (rests[0] == REST).all()
    requests = [replace(request, is_laid_out=index >= 10) for index, request in enumerate(calls(noise(40), L))]
    laid_out = Part(engine, DRUMS).play(*requests).codes[:, 10:]
    assert laid_out.shape[1] > 20
    assert (laid_out == rests[1:, -1:].numpy()).all()


def test_waves_are_the_decoded_frames_late_by_the_codecs_latency(player: Accompanist, engine: Engine) -> None:
    """But for the fader, which some have (`test_fader_played`)."""
    part = Part(engine, replace(DRUMS, instrument="other")).play(*calls(noise(NUM_FRAMES), L))
    decoded = player.codec.decode(torch.from_numpy(part.codes)[None])[0, 0].numpy()
    late, complete = engine.facts.latency_samples, len(part.wave) - engine.facts.latency_samples
    assert late == 720
    assert part.wave[late:] == pytest.approx(decoded[:complete], abs=1e-5)


def test_a_batch_plays_what_each_slot_plays_alone(player: Accompanist, engine: Engine) -> None:
    mixes = [noise(NUM_FRAMES, seed) for seed in range(3)]
    settings = [
        DRUMS,
        SlotSettings("bass", -2, 4, temperature=0.7, guidance=1.0),
        SlotSettings("keys", -20, 5, density=0.5),
    ]
    alone = [
        Part(Engine(player, 1), s).play(*calls(m, s.lookahead_frames)) for s, m in zip(settings, mixes, strict=True)
    ]
    parts = [Part(engine, s) for s in settings]
    play_together(parts, [calls(m, s.lookahead_frames) for s, m in zip(settings, mixes, strict=True)])
    for part, single in zip(parts, alone, strict=True):
        assert np.array_equal(part.codes, single.codes)
        assert part.wave == pytest.approx(single.wave, abs=1e-5)


def test_others_that_come_and_go_do_not_show_in_a_slot(player: Accompanist, engine: Engine) -> None:
    """Bit for bit while the layout is the same: here slot 0 is always stepped alone."""
    mix = noise(NUM_FRAMES)
    undisturbed = Part(Engine(player, 3), DRUMS).play(*calls(mix, L))
    other = Part(engine, replace(DRUMS, seed=9))
    assert other.slot == 0
    other.play(*list(calls(noise(60, 5), L)))  # slot 0 has played before
    beside = Part(engine, SlotSettings("bass", -3, 1))
    engine.close(other.slot)
    part = Part(engine, DRUMS)
    assert part.slot == 0
    for index, (request, company) in enumerate(zip(calls(mix, L), calls(noise(100, 7), -3), strict=False)):
        part.play(request)
        if index == 40:
            engine.close(beside.slot)
            beside = Part(engine, SlotSettings("lead", -3, 2))
        beside.play(company)
    assert np.array_equal(part.codes, undisturbed.codes)
    assert np.array_equal(part.wave, undisturbed.wave)


def test_slots_beyond_those_that_are_due_stay_to_the_last_bit(engine: Engine) -> None:
    parts = [Part(engine, replace(DRUMS, seed=seed)) for seed in range(3)]
    play_together(parts, [calls(noise(30, seed), L) for seed in range(3)])
    before = [state(engine, slot) for slot in range(3)]
    parts[0].play(*list(calls(noise(5), L))[-5:])
    assert not all(map(torch.equal, state(engine, 0), before[0]))
    for slot in (1, 2):
        assert all(map(torch.equal, state(engine, slot), before[slot]))


def test_slots_that_wait_below_one_that_is_due_play_on_as_if_they_had_not(player: Accompanist) -> None:
    """They compute along, for they are rows of the batch, but what that leaves behind is never seen."""
    played = []
    for interlude in (0, 25):
        engine = Engine(player, 3)
        parts = [Part(engine, replace(DRUMS, seed=seed)) for seed in range(3)]
        requests = [calls(noise(NUM_FRAMES, seed), L) for seed in range(3)]
        first = [list(itertools.islice(own, 30)) for own in requests]
        play_together(parts, [iter(own) for own in first])
        parts[2].play(*itertools.islice(requests[2], interlude))
        play_together(parts[:2], requests[:2])
        played.append(parts[:2])
    for without, with_interlude in zip(*played, strict=True):
        assert np.array_equal(without.codes, with_interlude.codes)
        assert np.array_equal(without.wave, with_interlude.wave)


def test_a_closed_slot_is_as_new_to_the_last_bit(player: Accompanist, engine: Engine) -> None:
    new = state(engine, 0)
    Part(engine, DRUMS).play(*calls(noise(45, 4), L))
    engine.close(0)
    assert all(map(torch.equal, state(engine, 0), new))
    again, fresh = (Part(e, DRUMS).play(*calls(noise(40), L)) for e in (engine, Engine(player, 3)))
    assert np.array_equal(again.codes, fresh.codes)
    assert np.array_equal(again.wave, fresh.wave)


def test_warming_up_leaves_nothing_behind(engine: Engine) -> None:
    new = [state(engine, slot) for slot in range(3)]
    engine.warm_up()
    for slot in range(3):
        assert all(map(torch.equal, state(engine, slot), new[slot]))
    engine.open(DRUMS)
    with pytest.raises(ValueError, match="warm up before any slot is opened"):
        engine.warm_up()


def test_who_is_laid_out_is_silent_after_the_delay_and_remembers_it(player: Accompanist, engine: Engine) -> None:
    start, stop, delay_frames = 25, 42, engine.facts.max_delay
    requests = [
        replace(request, is_laid_out=start <= index < stop) for index, request in enumerate(calls(noise(NUM_FRAMES), L))
    ]
    part, free = Part(engine, DRUMS).play(*requests), Part(engine, DRUMS).play(*calls(noise(NUM_FRAMES), L))
    silence = silent_streams(player)[:, -1:].numpy()
    assert np.array_equal(
        part.codes[:, start : stop - delay_frames], np.repeat(silence, stop - start - delay_frames, 1)
    )
    assert np.array_equal(part.codes[:, : start - delay_frames], free.codes[:, : start - delay_frames])
    assert not np.array_equal(part.codes[:, stop:], free.codes[:, stop:])


def solo(requests: Iterator[FrameRequest], start: int, stop: int) -> list[FrameRequest]:
    return [replace(request, hears_mix=not start <= index < stop) for index, request in enumerate(requests)]


def test_a_solo_hears_nothing_but_what_it_missed_is_known_when_it_ends(player: Accompanist) -> None:
    def played(mix: np.ndarray, start: int, stop: int) -> np.ndarray:
        return Part(Engine(player, 1), DRUMS).play(*solo(calls(mix, L), start, stop)).codes

    one, other = noise(NUM_FRAMES), noise(NUM_FRAMES, 1)
    assert np.array_equal(played(one, 0, 999), played(other, 0, 999))
    assert not np.array_equal(played(one, 0, 30), played(other, 0, 30))
    with_gap = Part(Engine(player, 1), DRUMS).play(*solo(calls(one, L), 0, 30)).engine._slots[0]
    without = Part(Engine(player, 1), DRUMS).play(*calls(one, L)).engine._slots[0]
    assert with_gap is not None
    assert without is not None
    assert torch.equal(as_tensor(with_gap.hearing.tap), as_tensor(without.hearing.tap))


def as_tensor(tap: torch.Tensor | None) -> torch.Tensor:
    assert tap is not None
    return tap


def test_the_newest_tap_is_the_one_that_is_heard_offline(player: Accompanist) -> None:
    mix, hearing = noise(80), Hearing(player.features)
    power = player.hear(torch.from_numpy(mix.reshape(1, 1, -1)))
    conditions = FrameConditions(
        power, torch.tensor([True]), torch.zeros(1, 10, 80), torch.tensor([0]), torch.tensor([-1])
    )
    expected = step_conditions(conditions, delay(1), 81).mix[0, 1:, 0]  # one codebook: step s hears frame s - 1
    assert hearing.tap is None
    for frame, want in zip(mix, expected, strict=True):
        hearing.push(frame)
        torch.testing.assert_close(hearing.tap, want, rtol=1e-5, atol=1e-9)


def test_frames_that_were_held_back_are_heard_together(player: Accompanist) -> None:
    """A lookahead that gets shorter: no call for a while, then one that is given all the frames since."""
    mix = noise(40)
    several, single = Hearing(player.features), Hearing(player.features)
    several.push(mix[0])
    several.push(mix[1:].reshape(-1))
    for frame in mix:
        single.push(frame)
    torch.testing.assert_close(several.tap, single.tap, rtol=1e-5, atol=1e-9)


def test_density_moves_the_share_of_silence(player: Accompanist, engine: Engine) -> None:
    quiet = silent_streams(player)[0, -1].item()
    shares = []
    for density in (-1.0, -0.5, 1.0):
        codes = (
            Part(engine, replace(DRUMS, instrument="other", density=density, guidance=1.0))
            .play(*calls(noise(120), L))
            .codes
        )
        shares.append(float((codes[0] == quiet).mean()))
    assert shares[0] > 4 / 64  # of 64 codes
    assert shares[0] > shares[1] > shares[2] == 0


def test_what_is_turned_while_playing_counts_from_then_on_but_for_the_seed(engine: Engine) -> None:
    mix = noise(NUM_FRAMES)
    parts = [Part(engine, DRUMS) for _ in range(3)]
    for part, changed in zip(parts, (DRUMS, replace(DRUMS, instrument="bass"), replace(DRUMS, seed=77)), strict=True):
        requests = list(calls(mix, L))
        part.play(*requests[:30])
        engine.set(part.slot, changed)
        part.play(*requests[30:])
    as_before, on_bass, reseeded = (part.codes for part in parts)
    assert np.array_equal(on_bass[:, :27], as_before[:, :27])
    assert not np.array_equal(on_bass, as_before)
    assert np.array_equal(reseeded, as_before)


def test_a_full_engine_says_so_and_the_lowest_free_slot_is_next(engine: Engine) -> None:
    assert [engine.open(DRUMS) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SlotsFull, match="all 3 slots are taken"):
        engine.open(DRUMS)
    engine.close(1)
    engine.close(0)
    assert engine.open(DRUMS) == 0


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"instrument": "kazoo"}, UsageError, "choose one of drums, bass"),
        ({"lookahead_frames": 0}, UsageError, r"lookahead of 0 frames, but live this checkpoint plays with -50\.\.-1"),
        ({"lookahead_frames": -51}, UsageError, "lookahead of -51 frames"),
        ({"density": 2.0}, ValueError, "density is 2.0"),
        ({"temperature": -1.0}, ValueError, "temperature -1"),
    ],
)
def test_settings_that_the_model_does_not_know_are_refused(
    engine: Engine, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        engine.open(replace(DRUMS, **changes))
    assert engine.open(DRUMS) == 0
    with pytest.raises(error, match=match):
        engine.set(0, replace(DRUMS, **changes))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mix": np.zeros(HOP + 1, np.float32)}, "whole frames of 480"),
        ({"mix": np.full(HOP, np.nan, np.float32)}, "whole frames of 480 finite"),
        ({"beats": np.zeros(9, np.float32)}, "10 finite numbers are needed"),
        ({"beats": np.full(10, np.inf, np.float32)}, "10 finite numbers are needed"),
        ({"lookahead_frames": 3}, "lookahead_frames is 3"),
    ],
)
def test_a_bad_request_changes_nothing_for_anyone(engine: Engine, changes: dict[str, Any], match: str) -> None:
    parts = [Part(engine, DRUMS), Part(engine, DRUMS)]
    good = list(calls(noise(10), L))
    play_together(parts, [iter(good[:15]), iter(good[:15])])
    before = [state(engine, slot) for slot in range(2)]
    with pytest.raises(ValueError, match=match):
        engine.step({0: good[15], 1: replace(good[15], **changes)})
    for slot in range(2):
        assert all(map(torch.equal, state(engine, slot), before[slot]))
    with pytest.raises(ValueError, match="slot 2 isn't open"):
        engine.step({0: good[15], 2: good[15]})


def test_nobody_due_is_no_step(engine: Engine) -> None:
    assert engine.step({}) == {}


def foreign(codec: Codec, **changes: Any) -> Any:
    """The codec as another package's: all that is known of it is the protocol."""
    return SimpleNamespace(spec=replace(codec.spec, **changes), encode=codec.encode, stream=codec.stream)


def test_codecs_that_know_no_slots_stream_one_by_one(player: Accompanist) -> None:
    own, other = slot_decoder(player.codec, 3), slot_decoder(foreign(player.codec), 3)
    assert isinstance(other, SeparateDecoder)
    codes = torch.randint(0, 64, (12, 3, 4), generator=torch.Generator().manual_seed(0))
    notes = torch.randint(UNKNOWN_NOTES, NUM_NOTE_CODES, (12, 3), generator=torch.Generator().manual_seed(1))
    for step, slots in enumerate(([0], [0, 2], [2, 0], [1], [2, 1, 0]) * 2):
        if step == 5:
            own.reset(2)
            other.reset(2)
        with torch.inference_mode():
            now = codes[step, : len(slots)], notes[step, : len(slots)]
            waves = [decoder.decode(slots, *now) for decoder in (own, other)]
        assert waves[0].shape == (len(slots), 1, HOP)
        torch.testing.assert_close(*waves, rtol=0, atol=1e-6)


def test_a_codec_that_hears_ahead_is_refused(player: Accompanist) -> None:
    with pytest.raises(UsageError, match="makes no frame before the piece is over"):
        Engine(Accompanist(player.model, foreign(player.codec, is_causal=False)), 1)
