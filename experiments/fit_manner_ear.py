"""Train the ear for manners, `gigmate/weights/manner.safetensors`: `python -m experiments.fit_manner_ear --help`.

Practice songs of seeds that nothing else uses and MIDI files of the train split, in random mixes. Songs are heard once
and kept in `--cache`; the run goes on from its last checkpoint there. It ends with how often what it says would be sane
on held-out songs, beside one manner for all of them (experiments/019_manner_ear).
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.fitting import fit, halved, random_song
from experiments.manner_songs import WINDOW_S, Excerpt, Played, midi_songs, power_of, practice_songs
from gigmate.evaluation.adherence.soundness import is_sane
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.generation.manner_ear import (
    FRAME_RATE,
    PLAYERS,
    SHIPPED,
    SILENCES,
    STRIKES_PER_S,
    MannerEar,
    decide,
    listen,
)
from gigmate.music.band.compose import STYLES

_HELD_OUT_SEED = 5_000_000
_HEARD_DB = -18.0  # at which the model hears its songs
_BATCH, _RATE, _DECAY = 16, 2e-3, 0.05
_MIDI_SHARE = 0.25
_SOME, _STAYS, _LEVELS_DB, _GAIN_DB, _NO_GRID, _OTHER_TEMPO = 0.4, 0.6, 2.0, 1.5, 0.1, 0.2
_STRIKES_WIDTH, _SILENCES_WIDTH, _LEVEL_SCALE = 0.15, 0.02, 6.0
_STYLES = [style.name for style in STYLES]
_LOG_STRIKES, _SILENCES = torch.tensor(STRIKES_PER_S).log(), torch.tensor(SILENCES)


@dataclass(frozen=True)
class Example:
    """A mix of `WINDOW_S` and what the player who is missing in it does.

    Args:
        power: [bands, T] float32 of the mix.
        beats: [G, T] float32.
        player: number in `PLAYERS`.
        manner: log of strikes a second, share of silence, level in dB to a mix at `_HEARD_DB`.
        style: number in `_STYLES`; -1: none.
    """

    power: NDArray[np.float32]
    beats: NDArray[np.float32]
    player: int
    manner: tuple[float, float, float]
    style: int


def example(song: Played, excerpt: Excerpt, rng: np.random.Generator | None) -> Example | None:
    """An excerpt to a random mix of its companions, or with no `rng` to all of them; None if nobody else plays."""
    there = {e.stem: e.level_db for e in song.excerpts if e.start_s == excerpt.start_s and e.stem != excerpt.stem}
    stems = [stem for stem, level_db in there.items() if level_db > -60]
    if rng is not None and rng.random() < _SOME:
        stems = [stem for stem in stems if rng.random() < _STAYS] or stems
    if not stems:
        return None
    start = round(excerpt.start_s * FRAME_RATE)
    frames = slice(start, start + round(WINDOW_S * FRAME_RATE))
    gains = [1.0 if rng is None else float(10 ** (rng.normal(0, _LEVELS_DB) / 10)) for _ in stems]
    power = np.sum([gain * power_of(song, stem, frames) for gain, stem in zip(gains, stems, strict=True)], axis=0)
    mix_db = 10 * math.log10(sum(g * 10 ** (there[stem] / 10) for g, stem in zip(gains, stems, strict=True)))
    off_db = _HEARD_DB - mix_db
    heard_db = off_db if rng is None else off_db + rng.normal(0, _GAIN_DB)
    beats = song.beats[:, frames].astype(np.float32)
    return Example(
        (power * 10 ** (heard_db / 10)).astype(np.float32),
        beats if rng is None else _as_tracked(beats, rng),
        PLAYERS.index(song.names[excerpt.stem]),
        (math.log(max(excerpt.strikes_per_s, 0.05)), excerpt.silence, excerpt.level_db + off_db),
        _STYLES.index(song.style) if song.style else -1,
    )


def _as_tracked(beats: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The grid [G, T] as a tracker may find it: at twice or half the tempo, or not at all.

    Only what the ear reads is changed: the cycles of beat, half and quarter, and the tempo.
    """
    if rng.random() < _NO_GRID:
        return np.zeros_like(beats)
    if rng.random() >= _OTHER_TEMPO:
        return beats
    angle = np.unwrap(np.arctan2(beats[2], beats[3]))
    factor = 2.0 if rng.random() < 0.5 else 0.5
    beat = factor * angle + (math.pi if factor < 1 and rng.random() < 0.5 else 0.0)
    found = beats.copy()
    for row, times in ((2, 1), (4, 2), (6, 4)):
        found[row], found[row + 1] = np.sin(times * beat), np.cos(times * beat)
    found[8] += math.log2(factor)
    return found


class Examples:
    """Random examples, every player as often as another within a song.

    Args:
        kinds: songs of each kind.
        shares: of the examples that are of each kind.
        seed: of the draws.
    """

    def __init__(self, kinds: Sequence[Sequence[Played]], shares: Sequence[float], seed: int) -> None:
        self._kinds = [[song for song in kind if any(e.is_known for e in song.excerpts)] for kind in kinds]
        self._shares, self._rng = shares, np.random.default_rng(seed)

    def batch(self) -> list[Example]:
        """`_BATCH` of them."""
        found: list[Example] = []
        while len(found) < _BATCH:
            known = by_stem(random_song(self._kinds, self._shares, self._rng))
            song, excerpts = known[int(self._rng.integers(len(known)))]
            drawn = example(song, excerpts[int(self._rng.integers(len(excerpts)))], self._rng)
            found += [] if drawn is None else [drawn]
        return found


def by_stem(song: Played) -> list[tuple[Played, list[Excerpt]]]:
    """The excerpts of each stem that something is known of."""
    stems = sorted({e.stem for e in song.excerpts if e.is_known})
    return [(song, [e for e in song.excerpts if e.is_known and e.stem == stem]) for stem in stems]


class Trained(nn.Module):
    """The ear, and what it is taught besides: the style, which says most about manners."""

    def __init__(self) -> None:
        super().__init__()
        self.ear = MannerEar()
        self.style = nn.Linear(self.ear.width, len(_STYLES))

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """After every second of the examples, in nats; levels in sixths of a decibel."""
        power, beats = (torch.from_numpy(np.stack([getattr(e, name) for e in examples])) for name in ("power", "beats"))
        every = slice(round(FRAME_RATE) - 1, None, round(FRAME_RATE))
        heard = listen(self.ear, power, beats)[:, every]
        heard = torch.cat((F.dropout(heard[..., :-1], 0.1, self.training), heard[..., -1:]), dim=-1)
        player = torch.tensor([e.player for e in examples])[:, None].expand(heard.shape[:2])
        strikes, silences, level_db, hidden = self.ear(heard, player, beats[:, 8, every])
        wanted = torch.tensor([e.manner for e in examples])
        styles = torch.tensor([e.style for e in examples])[:, None].expand(heard.shape[:2])
        of_style = F.cross_entropy(
            self.style(F.dropout(hidden, 0.2, self.training)).flatten(0, 1), styles.flatten(), ignore_index=-1
        )
        return (
            _near(strikes, wanted[:, 0], _LOG_STRIKES, _STRIKES_WIDTH)
            + _near(silences, wanted[:, 1], _SILENCES, _SILENCES_WIDTH)
            + (level_db - wanted[:, 2:]).abs().mean() / _LEVEL_SCALE
            + of_style
        )


def _near(logits: Tensor, wanted: Tensor, values: Tensor, width: float) -> Tensor:
    """Cross entropy of logits [B, T, n] against a bell around what is wanted [B]."""
    target = (-0.5 * ((wanted[:, None] - values) / width).square()).softmax(dim=-1)
    return -(target[:, None] * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def train(examples: Examples, net: Trained, num_steps: int, checkpoint: Path) -> None:
    """AdamW with a warm-up and a cosine; goes on from the checkpoint."""
    optimizer = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=num_steps)
    fit(net, lambda: net.loss(examples.batch()), optimizer, schedule, num_steps, checkpoint)


def held_out_rows(
    ear: MannerEar, kinds: Mapping[str, Sequence[Played]], usual: Sequence[NDArray[np.float64]]
) -> list[Row]:
    """How often what is heard would be sane, by the seconds that were heard, beside one manner for all songs."""
    rows = []
    for kind, songs in kinds.items():
        for player, name in enumerate(PLAYERS):
            known = [pair for song in songs for pair in by_stem(song) if song.names[pair[1][0].stem] == name]
            drawn = [example(song, max(excerpts, key=lambda e: e.playing), None) for song, excerpts in known]
            found = [e for e in drawn if e is not None]
            if not found:
                continue
            heard = {f"after {after} s": [_heard(ear, e, after) for e in found] for after in (4, 10, WINDOW_S)}
            said = {"usual": [usual[player]] * len(found), **heard}
            sane = {what: [_sane(own, e) for own, e in zip(owns, found, strict=True)] for what, owns in said.items()}
            rows.append(
                {"songs": kind, "player": name, "number": str(len(found))}
                | {what: f"{np.mean([all(each) for each in values]):.2f}" for what, values in sane.items()}
                | {
                    f"{trait} alone ({what})": f"{np.mean([each[number] for each in sane[what]]):.2f}"
                    for number, trait in enumerate(("strikes", "silence", "level"))
                    for what in ("usual", f"after {WINDOW_S} s")
                }
            )
    return rows


@torch.inference_mode()
def _heard(ear: MannerEar, given: Example, after_s: int) -> tuple[float, float, float]:
    power, beats = torch.from_numpy(given.power)[None], torch.from_numpy(given.beats)[None]
    last = round(after_s * FRAME_RATE) - 1
    logits = ear(listen(ear, power, beats)[:, last], torch.tensor([given.player]), beats[:, 8, last])
    manner = decide(*logits[:3])
    return float(manner.strikes_per_s.log()), float(manner.silence), float(manner.level_db)


def _sane(own: Sequence[float], given: Example) -> tuple[bool, bool, bool]:
    """Whether strikes, silence and level alone would be."""
    true = {"density": math.exp(given.manner[0]), "silence": given.manner[1], "loudness_db": given.manner[2]}
    said = {"density": math.exp(own[0]), "silence": own[1], "loudness_db": own[2]}
    strikes, silence, level = (is_sane({**true, trait: said[trait]}, true) for trait in true)
    return strikes, silence, level


def usual_manners(songs: Sequence[Played]) -> list[NDArray[np.float64]]:
    """The medians of every player."""
    found: list[list[tuple[float, float, float]]] = [[] for _ in PLAYERS]
    for song in songs:
        for whole, excerpts in by_stem(song):
            if (given := example(whole, max(excerpts, key=lambda e: e.playing), None)) is not None:
                found[given.player].append(given.manner)
    return [np.median(np.array(manners), axis=0) for manners in found]


def main() -> None:
    """Hear, train, write, tell."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit_manner_ear", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--midi", type=Path, required=True, help="folder of MIDI files with an index.csv")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument(
        "--practice", nargs="+", default=["20000000:1500"], metavar="SEED:COUNT", help="practice songs from a seed on"
    )
    parser.add_argument("--midi-songs", type=int, default=400, help="at most")
    parser.add_argument("--held-out", type=int, default=90, help="songs of each kind to be judged by")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    wanted = [map(int, part.split(":")) for part in given.practice]
    practice = [song for seed, count in wanted for song in practice_songs(given.cache, seed, count, held_out=False)]
    midi = midi_songs(given.cache, given.midi, given.soundfont, given.midi_songs, held_out=False)
    sys.stdout.write(f"{len(practice)} practice songs, {len(midi)} MIDI files\n")
    torch.manual_seed(0)
    net = Trained()
    train(
        Examples([practice, midi], [1 - _MIDI_SHARE, _MIDI_SHARE], 0), net, given.steps, given.cache / "manner_ear.ckpt"
    )
    ear = net.ear.eval()
    made_of = {"practice songs": str(len(practice)), "MIDI files": str(len(midi)), "steps": str(given.steps)}
    write_bytes(given.out, save(halved(ear), {"made of": json.dumps(made_of)}))
    held_out = {
        "practice": practice_songs(given.cache, _HELD_OUT_SEED, given.held_out, held_out=True),
        "MIDI": midi_songs(given.cache, given.midi, given.soundfont, given.held_out, held_out=True),
    }
    sys.stdout.write(f"{given.out}\n\n{markdown(held_out_rows(ear, held_out, usual_manners(practice)))}\n")


if __name__ == "__main__":
    main()
