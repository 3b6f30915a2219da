"""Which chord sounds in a frame that is about to be played to, by all that is heard of the song.

    newest bands of the mix, each pitch class in turn first ──GRU, every 4th frame──> what is known ─┐
    bands around the frame ──────────────────────────────────────────────────────────────────────────┼──> its chances
    where in bar and beat the frame lies, how far off it is ──(to the GRU, too)──────────────────────┘

The language model's own ear (`gigmate.model.harmony`) reads two thirds of a second. A chord lasts longer than its notes
can be told apart, and begins on a beat; whoever has heard what went before and comes after knows it better. It sees the
twelve pitch classes one after the other, each as if it were the only one: what is learnt in one key is known in all.
`experiments.fit_chord_ear` trains it (experiments/023_chord_ear).
Source: Cho et al. 2014 for the gated recurrent unit; Kim et al. 2018 and Gfeller et al. 2020 for sharing weights over
transpositions.
"""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gigmate.pitch import NUM_PITCH_CLASSES

SHIPPED = Path(__file__).parents[1] / "weights" / "chords.safetensors"
"""The weights that come with the package."""

STRIDE = 4
"""Of so many frames one is heard: the bands' window is much longer."""

LEAD_FRAMES = 8
"""It tells the chord of so many frames later than a note begins: players are early by some, and notes last."""

NUM_BANDS = 60
"""Semitone bands, the last of a frame's features, from A on."""

NUM_BEAT_FEATURES = 10
"""Of the frame that is played to: G."""

_LOWEST_PITCH_CLASS = 9  # A
_HIDDEN = 96
_RANGE = 1.5  # how far below the loudest band a band may be, on the scale of `compress`
_OFF_SCALE = 50.0
_NUM_GIVEN = NUM_BANDS + 1 + NUM_BEAT_FEATURES + 1


class ChordEar(nn.Module):
    """The network. What it knows of a song, [B, 12, C], is what its recurrent unit keeps for each pitch class."""

    turned: Tensor

    width = _HIDDEN
    """C."""

    def __init__(self) -> None:
        super().__init__()
        octaves = torch.arange(NUM_BANDS).view(-1, NUM_PITCH_CLASSES)
        first = torch.arange(NUM_PITCH_CLASSES) - _LOWEST_PITCH_CLASS
        turned = torch.stack([octaves.roll(-int(by), dims=1).flatten() for by in first])
        self.register_buffer("turned", turned, persistent=False)
        self.follows = nn.GRU(_NUM_GIVEN, _HIDDEN, batch_first=True)
        self.joins = nn.Linear(_HIDDEN + _NUM_GIVEN, _HIDDEN)
        self.says = nn.Sequential(nn.SiLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, 2))

    def views(self, levels: Tensor, beats: Tensor, off: Tensor) -> Tensor:
        """A frame as each pitch class sees it, [..., 12, D].

        Args:
            levels: [..., `NUM_BANDS`] on the scale of `compress`.
            beats: [..., G] of the frame that is played to.
            off: [...], how many frames beyond that one were heard; below 0: before it.
        """
        loudest = levels.amax(dim=-1, keepdim=True)
        turned = ((levels - loudest).clamp(min=-_RANGE) + _RANGE / 3)[..., self.turned]
        same = torch.cat((loudest, beats, off[..., None] / _OFF_SCALE), dim=-1)
        return torch.cat((turned, same[..., None, :].expand(*turned.shape[:-1], same.shape[-1])), dim=-1)

    def follow(self, views: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """What is known after each of some frames [B, T, 12, C], and after the last [B, 12, C], by what was known."""
        each, last = self.follows(views.transpose(1, 2).flatten(0, 1), known.flatten(0, 1)[None])
        by_row = (-1, NUM_PITCH_CLASSES)
        return each.unflatten(0, by_row).transpose(1, 2), last[0].unflatten(0, by_row)

    def forward(self, known: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
        """The chord of frames.

        Args:
            known: [..., 12, C].
            around: [..., 12, D], views of the frame that lies nearest to where its chord is read best.

        Returns:
            Logits of root and tones, [..., 12] each, C first.
        """
        root, tones = self.says(self.joins(torch.cat((known, around), dim=-1))).unbind(dim=-1)
        return root, tones


@cache
def shipped_chord_ear() -> ChordEar:
    """The ear with the weights that ship."""
    ear = ChordEar()
    ear.load_state_dict({name: value.float() for name, value in load_file(SHIPPED).items()})
    return ear.eval()
