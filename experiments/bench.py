"""How fast the whole chain is, part by part: `python -m experiments.bench [--threads 1]`, one part of `make bench`.

Every part is timed in interleaved rounds, after one round that isn't counted, in which players warm up; the table has
medians with their range. The model's weights are those that ship; speed doesn't depend on them.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from experiments.speed.figures import Cells, Figure
from experiments.speed.report import write
from gigmate.accompanist import Accompanist
from gigmate.codec.compact import CompactCodec
from gigmate.device import Device
from gigmate.music.band import compose, render_song
from gigmate.music.band.song import as_array
from gigmate.music.note_codes import note_codes
from gigmate.music.tracker import track_beats
from gigmate.performance import Take

_SECONDS, _ROUNDS, _SEED, _RATE, _NUM_PARTIALS = 30.0, 5, 4_000_001, 24_000, 32
_DRUMS, _BASS = Take(), Take(instrument="bass")

Parts = dict[str, Callable[[], object]]


def named(take: Take, more: str = "") -> str:
    """What a row is called that plays so."""
    guidance = "no guidance" if take.guidance_scale == 1 else f"guidance {take.guidance_scale:g}"
    tried = "" if take.instrument == "drums" else f", {take.num_candidates} candidates"
    return f"song to stem: {take.instrument}, {guidance}{tried}{more}"


def codec_parts(player: Accompanist) -> Parts:
    """The codec alone, over the bass of the practice band."""
    song, codec = compose(_SEED, _SECONDS), player.codec
    wave = torch.from_numpy(render_song(song, _RATE)["bass"])[None, None]
    codes = codec.encode(wave)
    notes = note_codes(as_array(song.notes["bass"]), "bass", codes.shape[2], codec.spec.frame_rate)
    known = torch.from_numpy(notes.astype(np.int64))[None]
    told = reader_of(codec)
    return {
        "codec: encode": lambda: codec.encode(wave),
        "codec: decode, no notes": lambda: codec.decode(codes),
        "codec: decode with notes": lambda: told.decode(codes, known),
    }


def reader_of(codec: object) -> CompactCodec:
    """The codec itself if it reads notes, else one of its shape that does, with weights of no meaning."""
    assert isinstance(codec, CompactCodec), "the codec of the weights that ship"
    if codec.reads_notes:
        return codec
    return CompactCodec(replace(codec.config, num_partials=_NUM_PARTIALS)).eval()


def song_parts(player: Accompanist, threads: int) -> Parts:
    """From a song to a stem, and what comes before the model in it."""
    band = render_song(compose(_SEED, _SECONDS), _RATE)
    song = np.stack(list(band.values())).sum(axis=0, dtype=np.float32, keepdims=True)
    wave, grid = torch.from_numpy(song)[None], track_beats(song, _RATE)

    def played(take: Take, weights: Accompanist = player) -> Callable[[], object]:
        return lambda: weights.accompany(song, _RATE, take, grid=grid)

    unguided = replace(_DRUMS, guidance_scale=1.0)
    exact = Accompanist.load(device=Device(weights="float32", threads=threads))
    plain = Accompanist.load(device=Device(weights=None, threads=threads))
    return {
        "practice band: compose and render 5 stems": lambda: render_song(compose(_SEED, _SECONDS), _RATE),
        "beat tracker": lambda: track_beats(song, _RATE),
        "mix features": lambda: player.features.analyse(wave),
        named(_DRUMS, ", beat tracker included"): lambda: player.accompany(
            song, _RATE, _DRUMS, grid=track_beats(song, _RATE)
        ),
        named(_DRUMS): played(_DRUMS),
        named(unguided): played(unguided),
        named(_BASS): played(_BASS),
        named(_DRUMS, ", float32"): played(_DRUMS, exact),
        named(_DRUMS, ", plain model"): played(_DRUMS, plain),
    }


def measure(timed: Parts, rounds: int, threads: int) -> list[Cells]:
    """One row per part, over `rounds` rounds: x real time, and seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, run in timed.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return [
        {
            "part": name,
            "threads": threads,
            "x real time": Figure.over([_SECONDS / value for value in values], ".1f"),
            "s": Figure.over(values, ".3f"),
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    given = parser.parse_args()
    player = Accompanist.load(device=Device(threads=given.threads))
    rows = measure(song_parts(player, given.threads) | codec_parts(player), given.rounds, given.threads)
    name = "chain" if given.threads == 1 else f"chain_{given.threads}_threads"
    sys.stdout.write(write(name, rows, threads=given.threads, rounds=given.rounds, seconds=_SECONDS))


if __name__ == "__main__":
    main()
