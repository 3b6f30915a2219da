"""Notes before sound: one more codebook, written a frame ahead, in every pattern, offline as live."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from live_players import tiny_player

from gigmate.accompanist import Accompanist
from gigmate.generation.guidance import Guidance, without
from gigmate.generation.note_rules import NoteRules
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.config import ModelConfig, PatternConfig
from gigmate.model.pattern import Pattern, coarse_first, delay, flatten, parallel, partial_delay
from gigmate.model.stepper import equip
from gigmate.model.streams import codes_of, notes_of, streams_of
from gigmate.performance import Take
from gigmate.pitch import NUM_NOTE_CODES, UNKNOWN_NOTES

SHAPE = ModelConfig(32, 1, 2, codebook_size=1024, writes_notes=True)


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1, writes_notes=True)


def conditions(player: Accompanist, num_frames: int, instrument: int = 0) -> FrameConditions:
    config = player.model.config
    return FrameConditions(
        mix_power=torch.rand(2, config.mix_features, num_frames, generator=torch.Generator().manual_seed(1)),
        mix_present=torch.ones(2, dtype=torch.bool),
        beats=torch.zeros(2, config.beat_features, num_frames),
        instrument=torch.full((2,), instrument),
        lookahead=torch.zeros(2, dtype=torch.int64),
    )


@pytest.mark.parametrize(
    ("plain", "offsets", "period", "passes"),
    [
        (delay(3), (0, 0, 1, 2), 1, ()),
        (parallel(2), (0, 0, 0), 1, ()),
        (partial_delay(3), (0, 0, 1, 1), 1, ()),
        (flatten(2), (0, 1, 2), 3, ()),
        (coarse_first(3), (0, 0, 0, 0), 1, (0, 0, 1, 1)),
    ],
)
def test_notes_come_with_the_first_code_and_cost_no_delay(
    plain: Pattern, offsets: tuple[int, ...], period: int, passes: tuple[int, ...]
) -> None:
    assert plain.with_notes() == Pattern(offsets, period, passes)
    assert plain.with_notes().max_delay == plain.max_delay


def test_a_model_that_writes_notes_has_a_stream_more() -> None:
    assert (SHAPE.num_streams, SHAPE.stream_names) == (5, ("notes", "k0", "k1", "k2", "k3"))
    plain = replace(SHAPE, writes_notes=False)
    assert (plain.num_streams, plain.stream_names) == (4, ("k0", "k1", "k2", "k3"))
    assert ModelConfig.from_dict(SHAPE.to_dict()) == SHAPE
    without = {key: value for key, value in plain.to_dict().items() if key != "writes_notes"}
    assert ModelConfig.from_dict(without) == plain  # as checkpoints have it that are older
    with pytest.raises(ValueError, match=f"needs {NUM_NOTE_CODES} codes, but the codec's codebooks have 64"):
        replace(SHAPE, codebook_size=64)


def test_streams_are_taken_apart_as_they_were_put_together() -> None:
    codes, notes = torch.randint(0, 9, (2, 4, 7)), torch.randint(0, 9, (2, 7))
    streams = streams_of(codes, SHAPE, notes)
    assert torch.equal(codes_of(streams, SHAPE), codes)
    found = notes_of(streams, SHAPE)
    assert found is not None
    assert torch.equal(found, notes)
    assert (streams_of(codes, SHAPE)[:, 0] == SHAPE.special_id).all()
    plain = replace(SHAPE, writes_notes=False)
    assert streams_of(codes, plain, notes) is codes
    assert notes_of(codes, plain) is None


def test_a_stem_is_continued_though_its_notes_are_unknown(player: Accompanist) -> None:
    config = player.model.config
    past = torch.randint(0, 1024, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    made = generate(player.model, conditions(player, 20), 20, TopK(), prompt=streams_of(past, config))
    assert torch.equal(codes_of(made, config)[:, :, :6], past)
    notes = notes_of(made, config)
    assert notes is not None
    assert (notes[:, :6] == config.special_id).all()
    assert (notes[:, 6:] < config.special_id).all()


def test_what_was_written_is_what_comes_next(player: Accompanist) -> None:
    """The note code of a frame is known when its sound is drawn: another one, another sound."""
    config = player.model.config
    steps = torch.randint(0, 1024, (1, 5, 9), generator=torch.Generator().manual_seed(0))
    other = steps.clone()
    other[:, 0, 4] = (steps[:, 0, 4] + 1) % 1024
    given = conditions(player, 9).rows(slice(0, 1))
    pattern = config.build_pattern()
    logits = [player.model(s, step_conditions(given, pattern, 9)) for s in (steps, other)]
    changed = (logits[0] != logits[1]).any(dim=-1)[0]
    assert not changed[:, :4].any()
    assert changed[:, 4:].all()


@pytest.mark.parametrize("name", ["delay", "parallel", "partial_delay", "flatten", "coarse_first"])
def test_every_pattern_writes_notes(player: Accompanist, name: str) -> None:
    torch.manual_seed(0)
    config = replace(player.model.config, pattern=PatternConfig(name))
    model = type(player.model)(config).eval()
    made = generate(model, conditions(player, 8), 8, TopK(), seed=3)
    assert made.shape == (2, 5, 8)
    assert 0 <= int(made.min()) <= int(made.max()) < config.special_id


def test_guidance_makes_the_sound_follow_the_notes_and_leaves_the_notes_alone(player: Accompanist) -> None:
    """The blend of the codec's codes is all - nothing, nothing being without notes; that of notes is all."""
    config, model = player.model.config, player.model
    pattern, guidance = config.build_pattern(), Guidance(3.0, 3.0)
    steps = torch.randint(0, 1024, (2, 5, 12), generator=torch.Generator().manual_seed(0))
    now = step_conditions(conditions(player, 12), pattern, 12)
    decoder = StepDecoder(model, TopK(1), batch=2, guidance=guidance)
    decoder.prefill(steps, now)
    drawn = decoder.step(torch.full((2, 5), FREE), now.at(slice(11, 12)), row_generators(0, 2))

    before = torch.cat((torch.full((2, 5, 1), config.special_id), steps), dim=2)
    hidden = before.clone()
    hidden[:, 0] = config.special_id
    last = now.at(torch.tensor([*range(12), 11]))
    knowing = model(before, last)[:, :, -1]
    nothing = model(hidden, without(last, mix=True, beats=True))[:, :, -1]
    allowed = NoteRules(config).allowed(steps[:, 0, -1], now.instrument)
    assert torch.equal(drawn[:, 0], knowing[:, 0].masked_fill(~allowed, -1e4).argmax(dim=-1))
    assert torch.equal(drawn[:, 1:], (nothing + 3 * (knowing - nothing))[:, 1:].argmax(dim=-1))


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_the_fast_steps_write_what_the_plain_model_writes(player: Accompanist, guidance_scale: float) -> None:
    fast = copy.copy(player.model)
    equip(fast, "float32")
    made = [
        generate(model, conditions(player, 25), 25, TopK(), guidance_scale=guidance_scale, taste=NoteTaste(1.0))
        for model in (player.model, fast)
    ]
    assert torch.equal(*made)


def test_a_stem_comes_with_its_notes(player: Accompanist) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, (1, 24_000)).astype(np.float32)
    played = player.accompany(wave, 24_000, Take("bass", num_candidates=1), grid=None)
    assert played.codes.shape == (4, 50)
    assert played.notes is not None
    assert played.notes.shape == (50,)
    assert played.notes[0] == UNKNOWN_NOTES  # the first frame sounds before anything was written
    assert (played.notes[1:] >= 0).all()
