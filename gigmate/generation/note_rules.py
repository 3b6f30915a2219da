"""Which note code may follow which: a note goes on only if it has begun, and each player writes its own kind.

Without rules a small model lets notes slide into others that never began; with them what it writes is music that can be
played, and a wrong draw costs a frame, not a chord.
"""

import torch
from torch import Tensor

from gigmate.model.config import ModelConfig
from gigmate.music.instruments import INSTRUMENTS, WRITTEN_AS_DRUMS
from gigmate.pitch import NUM_NOTE_CODES, REST, Played, read_note_code
from gigmate.shapes import Mask

FORBIDDEN = -1e4
"""Logit of what isn't allowed: low enough for any sampler, and guidance blends it without making NaN of infinities."""


class NoteRules:
    """The rules as tables.

    Args:
        config: of a model that writes notes.
        device: where its logits are.
    """

    def __init__(self, config: ModelConfig, device: torch.device | str = "cpu") -> None:
        played = [read_note_code(code) for code in range(NUM_NOTE_CODES)]
        number = {meaning: code for code, meaning in enumerate(played)}
        begins = torch.zeros(config.codebook_size, dtype=torch.bool)
        begins[:NUM_NOTE_CODES] = torch.tensor([meaning.begins for meaning in played])
        begins[REST] = True  # it may follow anything
        self._after = begins.repeat(config.codebook_size + 1, 1)
        for code, meaning in enumerate(played):
            self._after[code, number[meaning._replace(begins=False)] if not meaning.drums else code] = True
        self._after[config.special_id, :NUM_NOTE_CODES] = True  # nobody knows what went before
        self._kinds = torch.zeros(config.num_instruments, config.codebook_size, dtype=torch.bool)
        for row, name in enumerate(INSTRUMENTS[: config.num_instruments]):
            self._kinds[row, :NUM_NOTE_CODES] = torch.tensor([_is_of(meaning, name) for meaning in played])
        self._after, self._kinds = self._after.to(device), self._kinds.to(device)

    def allowed(self, previous: Tensor, instrument: Tensor) -> Mask:
        """[B, V] after the note codes [B] (the special id: unknown) by the instruments [B]."""
        return self._after[previous] & self._kinds[instrument]


def _is_of(played: Played, instrument: str) -> bool:
    if played == Played():
        return True
    if instrument in WRITTEN_AS_DRUMS:
        return bool(played.drums)
    return not played.drums and (played.pitch is not None) == (instrument in ("bass", "lead"))
