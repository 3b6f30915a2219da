"""What the decoder hears of a note code: its parts, each the same in every code that has it."""

import torch

from gigmate.codec.note_reader import NoteReader, meanings
from gigmate.pitch import FIRST_CHORD, FIRST_MELODY, NUM_NOTE_CODES, REST, UNKNOWN_NOTES

KICK, SNARE = 1, 2
BEGINS = 1  # the code after that of a note that goes on


def reader() -> NoteReader:
    torch.manual_seed(0)
    made = NoteReader(16)
    torch.nn.init.normal_(made.says)
    return made


def said(*codes: int) -> torch.Tensor:
    with torch.no_grad():
        return reader()(torch.tensor([codes]))[0]


def test_unknown_notes_say_nothing_and_an_untrained_reader_neither() -> None:
    assert not said(UNKNOWN_NOTES).any()
    assert said(REST).any()
    assert not NoteReader(16)(torch.arange(NUM_NOTE_CODES)[None]).any()


def test_what_begins_says_so_alike_whatever_it_is() -> None:
    chords = torch.arange(FIRST_CHORD, NUM_NOTE_CODES, 2).tolist()
    struck = said(*(code + BEGINS for code in chords)) - said(*chords)
    torch.testing.assert_close(struck, struck[:1].expand_as(struck), rtol=0, atol=1e-5)
    melody = torch.arange(FIRST_MELODY, FIRST_CHORD, 2).tolist()
    begun = said(*(code + BEGINS for code in melody)) - said(*melody)
    torch.testing.assert_close(begun, begun[:1].expand_as(begun), rtol=0, atol=1e-5)
    assert not torch.allclose(begun[0], struck[0], atol=0.1)


def test_drums_struck_together_are_the_sum_of_each() -> None:
    both, kick, snare, rest = said(KICK | SNARE, KICK, SNARE, REST)
    torch.testing.assert_close(both - rest, (kick - rest) + (snare - rest))


def test_no_two_codes_mean_the_same() -> None:
    assert len(meanings().unique(dim=0)) == NUM_NOTE_CODES + 1
    for code in (REST, KICK, FIRST_MELODY, FIRST_CHORD, NUM_NOTE_CODES - 1):
        assert meanings()[code].any()
