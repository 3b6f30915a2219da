"""What a player writes can be played: notes go on only where they have begun, and everyone writes their own kind."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player

from gigmate.generation.note_rules import NoteRules
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK
from gigmate.model.conditions import FrameConditions
from gigmate.model.config import ModelConfig
from gigmate.music.band import compose
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import note_codes
from gigmate.pitch import NUM_NOTE_CODES, REST, read_note_code

CONFIG = ModelConfig(32, 1, 2, writes_notes=True)


@pytest.fixture(scope="module")
def rules() -> NoteRules:
    return NoteRules(CONFIG)


def allowed(rules: NoteRules, previous: int, instrument: str) -> set[int]:
    row = rules.allowed(torch.tensor([previous]), torch.tensor([INSTRUMENTS.index(instrument)]))[0]
    return set(row.nonzero().flatten().tolist())


@pytest.mark.parametrize("instrument", ["drums", "bass", "keys", "guitar", "lead"])
def test_whatever_the_band_plays_is_allowed(rules: NoteRules, instrument: str) -> None:
    for seed in range(6):
        played = compose(seed, 30.0).notes[instrument]
        notes = np.array([(n.onset_s, n.onset_s + n.duration_s, n.pitch) for n in played]).reshape(-1, 3)
        codes = note_codes(notes, instrument, 1500, Fraction(50)).tolist()
        for previous, code in zip([CONFIG.special_id, *codes], codes, strict=False):
            assert code in allowed(rules, previous, instrument)


def test_a_note_goes_on_only_after_itself(rules: NoteRules) -> None:
    begins = {code for code in range(NUM_NOTE_CODES) if read_note_code(code).begins}
    for previous in (REST, 300, 301, 640, 641):
        kind = "keys" if previous > 600 else "bass"
        goes_on = allowed(rules, previous, kind) - begins - {REST}
        same = {code for code in goes_on if read_note_code(code) == read_note_code(previous)._replace(begins=False)}
        assert goes_on == same
        assert len(goes_on) == (previous != REST)


def test_after_what_nobody_knows_anything_of_its_kind_may_come(rules: NoteRules) -> None:
    assert len(allowed(rules, CONFIG.special_id, "bass")) == 1 + 2 * 73
    assert len(allowed(rules, CONFIG.special_id, "keys")) == 1 + 2 * 298
    assert len(allowed(rules, CONFIG.special_id, "drums")) == 256
    assert allowed(rules, CONFIG.special_id, "all") == allowed(rules, CONFIG.special_id, "drums")
    assert allowed(rules, CONFIG.special_id, "lead") == allowed(rules, CONFIG.special_id, "bass")


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_what_is_generated_keeps_the_rules(rules: NoteRules, guidance_scale: float) -> None:
    player = tiny_player(1, writes_notes=True)
    num_frames, config = 60, player.model.config
    conditions = FrameConditions(
        mix_power=torch.rand(7, config.mix_features, num_frames),
        mix_present=torch.ones(7, dtype=torch.bool),
        beats=torch.zeros(7, config.beat_features, num_frames),
        instrument=torch.arange(7),
        lookahead=torch.zeros(7, dtype=torch.int64),
    )
    streams = generate(
        player.model, conditions, num_frames, TopK(1024), guidance_scale=guidance_scale, taste=NoteTaste(2.0)
    )
    for row, instrument in enumerate(INSTRUMENTS):
        codes = streams[row, 0].tolist()
        for previous, code in zip([config.special_id, *codes], codes, strict=False):
            assert code in allowed(rules, previous, instrument)
