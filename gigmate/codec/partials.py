"""Sinusoids under the decoder's sound: which, the notes say; how loud each is, the network hears in the codes.

At 2 kbit/s a code holds a few cycles of a wave with their phase, and not which note sounds (experiments/010_chords):
codes that a language model draws one after the other don't add up to a pitch. Its notes do. A melody is one voice at
its pitch, a chord up to three, one for each pitch class, whose low fundamental leaves the register to the levels:

    note code --> voices: fundamental f ─┐
    frame ------> levels of k = 1..P ────┴──> sum of level * cos(2 pi k f n / rate + phase of k), window by window

Phases count from the stream's first sample, so windows of one pitch join without a seam, whatever the pieces they
are made in. Source of the idea: harmonic-plus-noise synthesis, as in DDSP (arXiv 2001.04643).
"""

import math

import torch
from torch import Tensor, nn

from gigmate.codec.note_reader import note_rows
from gigmate.pitch import HIGHEST_PITCH, LOWEST_PITCH, NUM_NOTE_CODES, NUM_PITCH_CLASSES, read_note_code

NUM_VOICES = 3
_CHORD_BASE = 36  # MIDI pitch of the C from which the fundamentals of chords are counted: all octaves are partials
_NUM_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1
_NO_VOICE = -1
_PARTS = 1 << 32  # of a cycle
_HIDDEN = 128
_FEW = 48  # voices: eight sessions' of a frame
_LOUDEST = 1.0  # natural logarithm of an amplitude, at most
_USUAL = -3.0  # that of a fundamental before training; other partials are softer as they are higher


class Partials(nn.Module):
    """Windows of sinusoids for notes.

    Args:
        dim: D of what the levels are read off.
        num_partials: P.
        sample_rate: Hz.
        step: samples between windows, which are twice as long.
    """

    voices: Tensor
    waves: Tensor
    cycles: Tensor
    turns: Tensor
    phases: Tensor

    def __init__(self, dim: int, num_partials: int, sample_rate: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.place = nn.Embedding(_NUM_PITCHES + NUM_PITCH_CLASSES, _HIDDEN)
        self.widen = nn.Linear(dim, _HIDDEN)
        self.levels = nn.Linear(_HIDDEN, num_partials)
        nn.init.zeros_(self.levels.weight)
        number = torch.arange(1, num_partials + 1)
        self.levels.bias.data = _USUAL - number.log()
        pitch = torch.tensor([pitch_of_place(place) for place in range(self.place.num_embeddings)])
        hz = 440 * 2 ** ((pitch.double() - 69) / 12)
        time_s = torch.arange(2 * step, dtype=torch.float64) / sample_rate
        angle = 2 * math.pi * hz[:, None, None] * number[:, None] * time_s
        can_sound = (hz[:, None] * number < sample_rate / 2)[:, :, None]
        window = torch.hann_window(2 * step, dtype=torch.float64)  # two that overlap by half add up to 1
        waves = torch.cat([angle.cos() * can_sound, -angle.sin() * can_sound], dim=1) * window
        self.register_buffer("voices", torch.tensor(_voice_table()), persistent=False)
        self.register_buffer("waves", waves.float(), persistent=False)
        # whole cycles between windows don't matter; as integers the rest stays exact however long a stream is
        parts_of_cycle = (hz * step / sample_rate).frac() * _PARTS
        self.register_buffer("cycles", parts_of_cycle.round().long(), persistent=False)
        self.register_buffer("turns", 2 * math.pi * number, persistent=False)
        # partials in phase would make a pulse train: these keep the peak low (Schroeder 1970)
        self.register_buffer("phases", math.pi * number * (number - 1) / num_partials, persistent=False)

    def forward(self, x: Tensor, notes: Tensor, clock: Tensor) -> Tensor:
        """What the levels are read off [B, J, D], a note code for each window [B, J] and the number of the first window
        [B] int64 -> windows [B, J, 2 * step].
        """
        place = self.voices[note_rows(notes)]
        row, window, voice = (place != _NO_VOICE).nonzero(as_tuple=True)
        total = x.new_zeros(notes.numel(), 2 * self.step, dtype=torch.float32)
        if len(row) == 0:
            return total.unflatten(0, notes.shape)
        place = place[row, window, voice]
        hidden = torch.nn.functional.gelu(self.widen(x)[row, window] + self.place(place))
        level = self.levels(hidden).float().clamp(max=_LOUDEST).exp()
        turn = (self.cycles[place] * (clock[row] + window) % _PARTS).float() / _PARTS
        angle = turn[:, None] * self.turns + self.phases
        parts = torch.cat([level * angle.cos(), level * angle.sin()], dim=1)
        with torch.autocast(parts.device.type, enabled=False):  # rounded to eight bits, sines would hiss
            made = self._sum(parts, place)
        return total.index_add(0, row * notes.shape[1] + window, made).unflatten(0, notes.shape)

    def _sum(self, parts: Tensor, place: Tensor) -> Tensor:
        """Weights of cosines and sines [n, 2 P] and places [n] -> [n, 2 * step]: of a few each with its waves, of many
        those of one place together, for each place has waves of its own.
        """
        if len(parts) <= _FEW:
            return (parts[:, None] @ self.waves[place])[:, 0]
        order = place.argsort(stable=True)
        numbers, counts = place.unique(return_counts=True)
        runs = zip(numbers.tolist(), parts[order].split(counts.tolist()), strict=True)
        made = torch.cat([run @ self.waves[number] for number, run in runs])
        return torch.empty_like(made).index_copy(0, order, made)


def pitch_of_place(place: int) -> int:
    """MIDI pitch of the fundamental of a voice: melodies' pitches come first, then chords' pitch classes."""
    return LOWEST_PITCH + place if place < _NUM_PITCHES else _CHORD_BASE + place - _NUM_PITCHES


def _voice_table() -> list[list[int]]:
    """[NUM_NOTE_CODES + 1, NUM_VOICES]: places of the voices of each note code; of unknown notes, the last, none."""
    table = []
    for code in range(NUM_NOTE_CODES):
        played = read_note_code(code)
        if played.pitch is not None:
            places = [played.pitch - LOWEST_PITCH]
        else:
            places = [_NUM_PITCHES + pitch_class for pitch_class in played.pitch_classes]
        table.append(places + [_NO_VOICE] * (NUM_VOICES - len(places)))
    return [*table, [_NO_VOICE] * NUM_VOICES]
