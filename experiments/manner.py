"""How a player's manner compares with the true parts', for settings side by side: `python -m experiments.manner keys`.

Level, density and silence are what decides whether adherence counts (`is_sane`). Songs of the practice band that no
table judges by (seeds from 5,000,000), so that settings can be chosen by them.

    python -m experiments.manner drums --lookahead -0.5 --set eagerness=0 --set eagerness=1
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gigmate.accompanist import Accompanist
from gigmate.data.sources import PracticeSource
from gigmate.device import Device
from gigmate.evaluation.adherence.pairs import Pair, pairs_of_source
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.playing import PlayingStyle, play_pairs
from gigmate.evaluation.adherence.scoring import score_part
from gigmate.evaluation.adherence.soundness import is_sane
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.tables import Row, markdown
from gigmate.generation.note_taste import USUAL_TASTE

_FIRST_SEED, _RATE, _SECONDS = 5_000_000, 24_000, 20.0
_ASKED = ("beat_f1", "chord_tones", "root_fifth")

Values = dict[str, float]


def judged(pairs: Sequence[Pair], player: Accompanist, lookahead_s: float, style: PlayingStyle) -> list[Values]:
    """The figures of what is played to each pair."""
    stems = play_pairs(player, pairs, lookahead_s, style)
    return [_values(pair, stem) for pair, stem in zip(pairs, stems, strict=True)]


def _values(pair: Pair, wave: Mono | None) -> Values:
    assert wave is not None
    assert pair.true is not None
    own, mix, true = (Part(each, pair.sample_rate) for each in (wave, pair.mix, pair.true))
    return score_part(pair, own, mix, true)


def row(name: str, own: Sequence[Values], true: Sequence[Values]) -> Row:
    """One setting's means and medians against the true stems."""
    both = list(zip(own, true, strict=True))
    ratios = [(o["density"] + 0.05) / (t["density"] + 0.05) for o, t in both]
    middle, least, most = (f"{np.quantile(ratios, share):.2f}" for share in (0.5, 0.25, 0.75))
    return {
        "setting": name,
        "sane": f"{np.mean([is_sane(o, t) for o, t in both]):.2f}",
        **{
            f"{trait} alone": f"{np.mean([is_sane({**t, trait: o[trait]}, t) for o, t in both]):.2f}"
            for trait in ("loudness_db", "density", "silence")
        },
        "level, dB": f"{np.median([o['loudness_db'] - t['loudness_db'] for o, t in both]):+.1f}",
        "onsets, to the true ones": f"{middle} ({least} to {most})",
        "silent; true": f"{np.mean([o['silence'] for o in own]):.2f}; {np.mean([t['silence'] for t in true]):.2f}",
        **{metric: f"{np.nanmean([o[metric] for o in own]):.2f}" for metric in _ASKED if metric in own[0]},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instrument")
    parser.add_argument("--songs", type=int, default=16)
    parser.add_argument("--lookahead", type=float, default=1.0, help="seconds")
    parser.add_argument("--first-seed", type=int, default=_FIRST_SEED)
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--no-fader", action="store_true", help="leave players as soft or loud as they are")
    parser.add_argument("--set", action="append", default=[], metavar="A=B[,C=D]", help="of `NoteTaste`, one row each")
    args = parser.parse_args()
    player = Accompanist.load(None, device=Device(threads=1, weights="int8"))
    source = PracticeSource(num_songs=600, first_seed=args.first_seed)
    pairs = pairs_of_source(source, [args.instrument], _SECONDS, args.songs, _RATE)
    true = [_values(pair, pair.true) for pair in pairs]
    rows = []
    for setting in args.set or [""]:
        taste = replace(
            USUAL_TASTE, **{k: float(v) for k, v in (part.split("=") for part in setting.split(",") if part)}
        )
        style = PlayingStyle(num_candidates=args.candidates, taste=taste, fader=not args.no_fader)
        began_s = time.monotonic()
        own = judged(pairs, player, args.lookahead, style)
        rows.append(row(setting or "as usual", own, true))
        sys.stderr.write(f"{markdown(rows[-1:])}\n{time.monotonic() - began_s:.0f} s\n")
    sys.stdout.write(f"{len(pairs)} songs, lookahead {args.lookahead:+g} s\n\n{markdown(rows)}\n")


if __name__ == "__main__":
    main()
