"""How much of a stem's first code can be read off the mix at all, frame by frame, without the stem's own past?

    python -m experiments.frame_probe data/practice data/midi --instrument bass [--chords]

A perceptron on the taps that the model hears (now, and a third of a second ahead), fitted to training windows. Its loss
on held-out windows stands beside the unigram entropy, and beside its loss with another window's mix: what it has read
off the mix is the difference. It is what a language model could at least learn, where its past doesn't say as much.
With `--chords` it is given what the shipped model's ear for chords reads, instead of levels: do the codes tell the
chord?
"""

import argparse
import sys
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.accompanist import SHIPPED
from gigmate.checkpoint import load_lm
from gigmate.data.module import TokenData
from gigmate.model import pattern as patterns
from gigmate.model.conditions import step_conditions
from gigmate.model.harmony import HarmonyEar
from gigmate.model.lm import compress
from gigmate.music.instruments import INSTRUMENTS
from gigmate.training.lm_module import frame_conditions

_THIN = 3  # every third frame is enough: neighbours say the same
_EPOCHS = 4


def main() -> int:
    """Print a line an epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--instrument", default="bass", choices=INSTRUMENTS)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--chords", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    data = TokenData(folders=arguments.folders, window_s=8.0, batch_size=32, min_lookahead_s=-1.0, max_lookahead_s=1.0)
    data.setup("fit")
    instrument = INSTRUMENTS.index(arguments.instrument)
    ear = load_lm(SHIPPED, torch.device("cpu")).model.conditions.harmony if arguments.chords else None
    heard, codes = examples(data.train_dataloader(), instrument, arguments.frames, ear)
    unseen, true = examples(data.val_dataloader(), instrument, arguments.frames, ear)
    counts = torch.bincount(codes, minlength=1024).float() + 0.5
    unigram = -(counts / counts.sum()).log()[true].mean()
    sys.stdout.write(f"{len(codes)} frames; unigram {unigram:.3f}\n")
    probe = nn.Sequential(nn.Linear(heard.shape[1], 512), nn.SiLU(), nn.Dropout(0.2), nn.Linear(512, 1024))
    optimizer = torch.optim.AdamW(probe.parameters(), 1e-3, weight_decay=0.05)
    for epoch in range(_EPOCHS):
        probe.train()
        for rows in torch.randperm(len(codes)).split(512):
            loss = F.cross_entropy(probe(heard[rows]), codes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        probe.eval()
        with torch.no_grad():
            own, other = (F.cross_entropy(probe(x), true) for x in (unseen, unseen.roll(len(unseen) // 2, 0)))
        sys.stdout.write(f"epoch {epoch}: {own:.3f} with its own mix, {other:.3f} with another's\n")
    return 0


@torch.no_grad()
def examples(
    batches: Iterable[dict[str, Tensor]], instrument: int, most: int, ear: HarmonyEar | None
) -> tuple[Tensor, Tensor]:
    """What is heard [N, D'] and the first code [N] of frames of an instrument that plays to a mix."""
    heard, codes, count = [], [], 0
    for batch in batches:
        rows = ((batch["instrument"] == instrument) & batch["mix_present"]).nonzero()[:, 0]
        batch["lookahead"] = torch.full_like(batch["lookahead"], 50)
        steps = step_conditions(frame_conditions(batch).rows(rows), patterns.parallel(1), batch["codes"].shape[2])
        levels = compress(steps.mix, steps.heard)[:, ::_THIN, 1:]
        told = levels if ear is None else ear.read(levels[..., :-1], steps.heard[:, ::_THIN, 1:])
        heard.append(told.flatten(2).flatten(0, 1))
        codes.append(batch["codes"][rows, 0, ::_THIN].flatten())
        count += len(codes[-1])
        if count >= most:
            break
    return torch.cat(heard), torch.cat(codes)


if __name__ == "__main__":
    sys.exit(main())
