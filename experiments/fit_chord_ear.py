"""Train the ear for chords, `gigmate/weights/chords.safetensors`: `python -m experiments.fit_chord_ear --help`.

Practice songs of seeds that nothing else uses and MIDI files of the train split, in random mixes without one of their
players, heard live or ahead. Songs are heard once and kept in `--cache`; the run goes on from its last checkpoint
there. It ends with how well chords of held-out songs are read, beside the language model's own ear
(experiments/023_chord_ear).
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from experiments.chord_songs import Harmonised, midi_songs, power_of, practice_songs
from experiments.fitting import fit, halved, random_song
from gigmate.accompanist import SHIPPED as MODEL
from gigmate.checkpoint import load_lm
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.generation.chord_ear import LEAD_FRAMES, SHIPPED, STRIDE, ChordEar
from gigmate.model.conditions import AHEAD_FRAMES, SLOW_FRAMES
from gigmate.model.harmony import HarmonyEar, harmony_loss
from gigmate.model.lm import levels_of
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES

_HELD_OUT_SEED = 5_000_000
_BATCH, _DECAY = 16, 0.01
_WINDOW = 240  # strides: 19.2 s
_MIDI_SHARE = 0.4
_SOME, _STAYS, _LEVELS_DB, _GAIN_DB, _NO_GRID = 0.5, 0.6, 3.0, 6.0, 0.1
_EARLIEST, _LATEST = -13, 12  # strides between the frame that is heard last and the one that is played to
_AHEAD, _LEAD = AHEAD_FRAMES // STRIDE, LEAD_FRAMES // STRIDE


@dataclass(frozen=True)
class Example:
    """A random mix.

    Args:
        power: [T, bands] float32, linear.
        beats: [T, G] float32; zeros without a grid.
        root: [T] int64.
        tones: [T, 12] float32.
    """

    power: Tensor
    beats: Tensor
    root: Tensor
    tones: Tensor


def example(song: Harmonised, start: int, left_out: int | None, rng: np.random.Generator | None) -> Example:
    """`_WINDOW` of a song without a player; with an `rng` at random levels, and some others missing, too."""
    frames = slice(start, start + _WINDOW)
    stems = [stem for stem in range(len(song.names)) if stem != left_out]
    if rng is not None and rng.random() < _SOME:
        stems = [stem for stem in stems if rng.random() < _STAYS] or stems
    gains = [1.0 if rng is None else float(10 ** (rng.normal(0, _LEVELS_DB) / 10)) for _ in stems]
    power = np.sum([gain * power_of(song, stem, frames) for gain, stem in zip(gains, stems, strict=True)], axis=0)
    gain_db = 0.0 if rng is None else rng.normal(0, _GAIN_DB)
    beats = torch.from_numpy(song.beats[:, frames].T.astype(np.float32))
    has_grid = rng is None or rng.random() >= _NO_GRID
    tones = (song.tones[frames].astype(np.int64)[:, None] >> np.arange(NUM_PITCH_CLASSES)) & 1
    return Example(
        torch.from_numpy((power.T * 10 ** (gain_db / 10)).astype(np.float32)),
        beats if has_grid else torch.zeros_like(beats),
        torch.from_numpy(song.root[frames].astype(np.int64)),
        torch.from_numpy(tones.astype(np.float32)),
    )


class Examples:
    """Random ones.

    Args:
        kinds: songs of each kind.
        shares: of the examples that are of each kind.
        seed: of the draws.
    """

    def __init__(self, kinds: Sequence[Sequence[Harmonised]], shares: Sequence[float], seed: int) -> None:
        self._kinds = [[song for song in kind if song.power.shape[2] > _WINDOW] for kind in kinds]
        self._shares, self._rng = shares, np.random.default_rng(seed)

    def batch(self) -> tuple[list[Example], Tensor]:
        """`_BATCH` of them, and how far ahead each is heard [B], in strides."""
        found = []
        for _ in range(_BATCH):
            song = random_song(self._kinds, self._shares, self._rng)
            left_out = int(self._rng.integers(len(song.names))) if len(song.names) > 1 else None
            start = int(self._rng.integers(song.power.shape[2] - _WINDOW))
            found.append(example(song, start, left_out, self._rng))
        return found, torch.from_numpy(self._rng.integers(_EARLIEST, _LATEST + 1, _BATCH))


def hear(ear: ChordEar, examples: Sequence[Example], off: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of root and tones, and the truth, [N, 12], [N, 12], [N], [N, 12]: of all frames that have been, or will
    be, heard of so far.
    """
    power, beats, root, tones = (
        torch.stack([getattr(e, name) for e in examples]) for name in ("power", "beats", "root", "tones")
    )
    levels = levels_of(power)
    rows, frame = torch.arange(len(levels))[:, None], torch.arange(levels.shape[1])[None]
    last, played = frame + off[:, None], frame - off[:, None]  # by frame that is played to; by frame that is heard
    is_there, is_played = ((each >= 0) & (each < levels.shape[1]) for each in (last, played))
    far = (STRIDE * off)[:, None].expand_as(last).float()
    then = beats[rows, played.clamp(0, levels.shape[1] - 1)] * is_played[..., None]
    last = last.clamp(0, levels.shape[1] - 1)
    nothing = torch.zeros(len(levels), NUM_PITCH_CLASSES, ear.width)
    known, _ = ear.follow(ear.views(levels, then, far), nothing)
    said = ear(known[rows, last], ear.views(levels[rows, torch.minimum(last, frame + _AHEAD)], beats, far))
    is_there[:, -_LEAD:] = False
    later = (frame + _LEAD).clamp(max=levels.shape[1] - 1)[0]
    return said[0][is_there], said[1][is_there], root[:, later][is_there], tones[:, later][is_there]


def loss_of(ear: ChordEar, examples: Sequence[Example], off: Tensor) -> Tensor:
    """Of a batch, in nats."""
    root_logits, tone_logits, root, tones = hear(ear, examples, off)
    return harmony_loss(torch.cat((root_logits, tone_logits), dim=-1), root, tones)


@torch.inference_mode()
def held_out_rows(ear: ChordEar, own: HarmonyEar, kinds: Mapping[str, Sequence[Harmonised]]) -> list[Row]:
    """How well chords are read without each player, this far ahead."""
    rows = []
    for kind, songs in kinds.items():
        for player in ("drums", "bass", "keys", "guitar"):
            found = [example(song, 0, song.names.index(player), None) for song in songs if player in song.names]
            if not found:
                continue
            for name, off in (("live, -.5 s", -7), ("offline, +1 s", 12)):
                offs = torch.full((len(found),), off)
                rows.append(
                    {"songs": kind, "without": player, "number": str(len(found)), "heard": name}
                    | {f"model's {k}": v for k, v in read(*_by_the_model(own, found, off)).items()}
                    | read(*hear(ear, found, offs))
                )
    return rows


def _by_the_model(own: HarmonyEar, examples: Sequence[Example], off: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `hear` returns, by the ear that reads the frames around alone."""
    power, root, tones = (torch.stack([getattr(e, name) for e in examples]) for name in ("power", "root", "tones"))
    num_slow = SLOW_FRAMES // STRIDE
    count = torch.arange(1, power.shape[1] + 1).clamp(max=num_slow)[:, None]
    slow = F.avg_pool1d(F.pad(power.mT, (num_slow - 1, 0)), num_slow, stride=1).mT * (num_slow / count)
    frame = torch.arange(power.shape[1])
    is_there = (frame + off >= 0) & (frame + off < power.shape[1])
    is_there[-_LEAD:] = False
    later = (frame + _LEAD).clamp(max=power.shape[1] - 1)
    around = torch.minimum(frame + off, frame + _AHEAD).clamp(0, power.shape[1] - 1)
    given = power.new_zeros(*power.shape[:2], 2, own.mix_features)
    given[..., -own.bands :] = torch.stack((levels_of(power), levels_of(slow)), dim=2)
    said = own(given[:, around].flatten(-2)).chunk(2, dim=-1)
    truth = root[:, later], tones[:, later]
    return tuple(part[:, is_there].flatten(0, 1) for part in (*said, *truth))  # type: ignore[return-value]


def read(root_logits: Tensor, tone_logits: Tensor, root: Tensor, tones: Tensor) -> dict[str, str]:
    """Shares of roots found, and precision and recall of the tones."""
    is_known, has_root = tones.any(dim=-1), root != NO_ROOT
    found = (tone_logits > 0)[is_known].float()
    right = (found * tones[is_known]).sum()
    roots = (root_logits.argmax(dim=-1) == root)[has_root].float().mean()
    return {
        "root": f"{roots:.2f}",
        "tones: precision": f"{right / found.sum().clamp(min=1):.2f}",
        "recall": f"{right / tones[is_known].sum():.2f}",
    }


def main() -> None:
    """Hear, train, write, tell."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit_chord_ear", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--midi", type=Path, required=True, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--practice", type=int, default=700, help="songs")
    parser.add_argument("--first-seed", type=int, default=60_000_000, help="of the practice songs")
    parser.add_argument("--midi-songs", type=int, default=400, help="at most")
    parser.add_argument("--held-out", type=int, default=60, help="songs of each kind to be judged by")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=3e-3, help="of learning, at most")
    parser.add_argument("--begin", type=Path, help="weights to begin with; none: from nothing")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    practice = practice_songs(given.cache, given.first_seed, given.practice, held_out=False)
    midi = midi_songs(given.cache, given.midi, given.soundfont, given.midi_songs, held_out=False)
    sys.stdout.write(f"{len(practice)} practice songs, {len(midi)} MIDI files\n")
    torch.manual_seed(0)
    ear, examples = ChordEar(), Examples([practice, midi], [1 - _MIDI_SHARE, _MIDI_SHARE], 0)
    if given.begin is not None:
        ear.load_state_dict({name: value.float() for name, value in load_file(given.begin).items()})
    optimizer = torch.optim.AdamW(ear.parameters(), given.rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, given.rate, total_steps=given.steps)
    fit(ear, lambda: loss_of(ear, *examples.batch()), optimizer, schedule, given.steps, given.cache / "chord_ear.ckpt")
    made_of = {"practice songs": str(len(practice)), "MIDI files": str(len(midi)), "steps": str(given.steps)}
    write_bytes(given.out, save(halved(ear.eval()), {"made of": json.dumps(made_of)}))
    held_out = {
        "practice": practice_songs(given.cache, _HELD_OUT_SEED, given.held_out, held_out=True),
        "MIDI": midi_songs(given.cache, given.midi, given.soundfont, given.held_out, held_out=True),
    }
    own = load_lm(MODEL, torch.device("cpu")).model.conditions.harmony
    sys.stdout.write(f"{given.out}\n\n{markdown(held_out_rows(ear, own, held_out))}\n")


if __name__ == "__main__":
    main()
