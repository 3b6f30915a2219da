"""The instruments that stems are named by, and which of them plays a General MIDI program."""

INSTRUMENTS = ("drums", "bass", "keys", "guitar", "lead", "other", "all")
"""Names in the order of the model's instrument ids, which checkpoints depend on; `all` is the whole band."""

WRITTEN_AS_DRUMS = ("drums", "all")
"""Whose notes are strokes of drums: what the whole band plays is written as what its drums play."""

_FAMILIES = ((range(24), "keys"), (range(24, 32), "guitar"), (range(32, 40), "bass"), (range(56, 88), "lead"))


def instrument_of(program: int, is_drum: bool = False) -> str:
    """The instrument that a General MIDI `program` (0..127) belongs to; the drum channel is drums anyway.

    Raises:
        ValueError: no such program.
    """
    if not 0 <= program < 128:
        raise ValueError(f"program is {program}, General MIDI has 0..127")
    if is_drum:
        return "drums"
    return next((name for programs, name in _FAMILIES if program in programs), "other")
