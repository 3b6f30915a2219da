"""Notes of the chord are favoured, by as much as is asked for, and nothing else is touched."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player
from torch import Tensor

from gigmate.accompanist import Accompanist
from gigmate.generation.chord_bias import TONES_OF_BASS, ChordBias, worth_of
from gigmate.generation.chord_listener import ChordChances
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK
from gigmate.model.conditions import FrameConditions, StepConditions
from gigmate.model.harmony import HARMONY_FEATURES, HarmonyEar
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import note_codes
from gigmate.pitch import NUM_NOTE_CODES, read_note_code

C_MAJOR = (0, 4, 7)


class PlantedEar(HarmonyEar):
    """Hears C major whatever is played."""

    def forward(self, levels: torch.Tensor, transposition: torch.Tensor | None = None) -> torch.Tensor:
        logits = torch.full((*levels.shape[:-1], HARMONY_FEATURES), -6.0, dtype=self.hidden.weight.dtype)
        logits[..., 0] = 6.0
        logits[..., [12 + tone for tone in C_MAJOR]] = 6.0
        return logits


@pytest.fixture
def player() -> Accompanist:
    player = tiny_player(1, writes_notes=True)
    ear = player.model.conditions.harmony
    player.model.conditions.harmony = PlantedEar(ear.mix_features, ear.bands)
    return player


def step(player: Accompanist, instrument: str, *, heard: bool = True, batch: int = 1) -> StepConditions:
    config = player.model.config
    return StepConditions(
        torch.rand(batch, 1, 3, 2 * config.mix_features),
        torch.full((batch, 1, 3), heard),
        torch.zeros(batch, 1, config.beat_features),
        torch.full((batch,), INSTRUMENTS.index(instrument)),
        torch.zeros(batch, dtype=torch.int64),
    )


def code_of(pitches: list[int], instrument: str) -> int:
    notes = np.array([(0.0, 1.0, pitch) for pitch in pitches], np.float64)
    return int(note_codes(notes, instrument, 1, Fraction(50))[0])


def weighed(player: Accompanist, strength: float, now: StepConditions, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Log chances [B, V] of note codes before and after."""
    shape = (now.batch, player.model.config.codebook_size)
    own = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return own.log_softmax(dim=-1), ChordBias(player.model, strength).weigh(own, now).log_softmax(dim=-1)


def test_chord_tones_gain_what_others_lose(player: Accompanist) -> None:
    own, made = weighed(player, 1.0, step(player, "keys"))
    inside, half, outside = (float((made - own)[0, code_of(p, "keys")]) for p in ([60, 64, 67], [60, 61], [61, 66]))
    assert inside > 0 > outside
    assert inside - outside == pytest.approx(math.log(1.02 / 0.0225), rel=0.02)
    assert half == pytest.approx((inside + outside) / 2, abs=1e-3)


def test_a_bass_wants_the_root(player: Accompanist) -> None:
    own, made = weighed(player, 1.0, step(player, "bass"))
    root, fifth, outside = (float((made - own)[0, code_of([pitch], "bass")]) for pitch in (36, 43, 42))
    assert root > fifth > outside


@pytest.mark.parametrize("strength", [1.0, 6.0])
def test_when_to_play_is_left_to_the_model(player: Accompanist, strength: float) -> None:
    own, made = weighed(player, strength, step(player, "keys"))
    for code in range(player.model.config.codebook_size):
        if code >= NUM_NOTE_CODES or not read_note_code(code).begins or read_note_code(code).drums:
            assert made[0, code] == pytest.approx(float(own[0, code]), abs=1e-4)
    assert not torch.allclose(own, made, atol=0.1)


def test_the_strength_multiplies_and_what_is_unheard_counts_nothing(player: Accompanist) -> None:
    now = step(player, "keys")
    (own, once), (_, twice) = weighed(player, 1.0, now), weighed(player, 2.0, now)
    one, two = (made[0, code_of([60], "keys")] - made[0, code_of([61], "keys")] for made in (once, twice))
    none = own[0, code_of([60], "keys")] - own[0, code_of([61], "keys")]
    assert float(two - none) == pytest.approx(2 * float(one - none), rel=1e-3)
    own, made = weighed(player, 2.0, step(player, "keys", heard=False))
    torch.testing.assert_close(own, made)


def c_major(batch: int = 1) -> ChordChances:
    root, tones = torch.zeros(batch, 12), torch.zeros(batch, 12)
    root[:, 0], tones[:, C_MAJOR] = 1.0, 1.0
    return ChordChances(root, tones, torch.ones(batch, dtype=torch.bool))


def test_who_is_told_the_chords_does_not_ask_the_models_own_ear() -> None:
    player = tiny_player(1, writes_notes=True)
    own = torch.zeros(1, player.model.config.codebook_size)
    made = ChordBias(player.model, 1.0).weigh(own, step(player, "keys"), c_major())
    inside, outside = (float(made[0, code_of(pitches, "keys")]) for pitches in ([60, 64, 67], [61, 66]))
    assert inside - outside == pytest.approx(math.log(1.02 / 0.02), rel=1e-3)
    unheard = c_major()._replace(is_heard=torch.tensor([False]))
    torch.testing.assert_close(ChordBias(player.model, 1.0).weigh(own, step(player, "keys"), unheard), own)


def test_a_row_gets_the_same_whoever_else_plays() -> None:
    player = tiny_player(1, writes_notes=True)
    bias, many = ChordBias(player.model, 1.0), step(player, "keys", batch=5)
    own = torch.randn(5, player.model.config.codebook_size)
    together = bias.weigh(own, many)
    for row in range(5):
        alone = StepConditions(*(value[row : row + 1] for value in vars(many).values()))
        assert torch.equal(bias.weigh(own[row : row + 1], alone)[0], together[row])


def test_worth_of_a_bass_is_the_root_and_a_little_of_the_rest() -> None:
    root, tones = torch.eye(12)[:1], torch.ones(1, 12)
    assert torch.equal(worth_of(root, tones, is_bass=torch.tensor([False])), tones)
    bass = worth_of(root, tones, is_bass=torch.tensor([True]))[0]
    assert bass[0] == 1 + TONES_OF_BASS
    assert (bass[1:] == TONES_OF_BASS).all()


def test_a_piece_holds_more_notes_of_the_chord(player: Accompanist) -> None:
    config, num_frames = player.model.config, 150
    conditions = FrameConditions(
        mix_power=torch.rand(4, config.mix_features, num_frames),
        mix_present=torch.ones(4, dtype=torch.bool),
        beats=torch.zeros(4, config.beat_features, num_frames),
        instrument=torch.full((4,), INSTRUMENTS.index("keys")),
        lookahead=torch.zeros(4, dtype=torch.int64),
    )

    def share_inside(strength: float) -> float:
        streams = generate(player.model, conditions, num_frames, TopK(1024), taste=NoteTaste(strength))
        meant = [read_note_code(code) for code in streams[:, 0].flatten().tolist() if code < NUM_NOTE_CODES]
        begun = [played.pitch_classes for played in meant if played.begins and played.pitch_classes]
        return float(np.mean([set(classes) <= set(C_MAJOR) for classes in begun]))

    assert share_inside(3.0) > 2 * share_inside(0.0)
