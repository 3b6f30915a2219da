"""Small audio files, hurt at random: the same for the same seed. As a command, decodes many of them:

python tests/mutated_audio.py 100000              in this process, beginning anew after each file that fells it
python tests/mutated_audio.py 1000 --isolated     each in a decoder process, as files of strangers are
"""

import argparse
import functools
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from audio_bytes import encoded, music

from gigmate.audio import read_audio
from gigmate.errors import InputError

KINDS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("AIFF", "PCM_24"),
    ("W64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
FELLED = "felled"
_HANG_S = 60


@functools.cache
def _sound(container: str, subtype: str, channels: int) -> bytes:
    return encoded(music(0.3, 24_000, channels), 24_000, container, subtype)


def mutated(seed: int) -> bytes:
    """One of eight small files, mono or stereo, hurt in one to eight places in one of five ways each."""
    random = np.random.default_rng(seed)
    file = bytearray(_sound(*KINDS[seed % len(KINDS)], 1 + seed // len(KINDS) % 2))
    # Half of the wounds are in the first 200 bytes, where the headers are.
    reach = len(file) if random.random() < 0.5 else min(200, len(file))
    for _ in range(int(random.integers(1, 9))):
        at, how = int(random.integers(reach)), random.integers(5)
        if how == 0:
            file[at % len(file)] ^= 1 << int(random.integers(8))
        elif how == 1:
            file[at : at + 4] = random.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
        elif how == 2:
            file = file[: max(at, 1)] if random.random() < 0.2 else file
        elif how == 3:
            file[at : at + int(random.integers(64))] = b""
        else:
            file[at:at] = file[at : at + int(random.integers(1, 64))]
        if not file:
            file = bytearray(b"R")
        reach = min(reach, len(file))
    return bytes(file)


def outcome(path: Path, *, isolated: bool) -> str:
    """`taken`, or the code of the refusal."""
    try:
        audio = read_audio(path, max_seconds=60, isolated=isolated)
    except InputError as error:
        return error.code
    assert np.isfinite(audio.wave).all()
    return "taken"


def outcomes(path: Path, seeds: range, *, isolated: bool) -> Iterator[tuple[int, str]]:
    """Each seed with what became of its file, written to `path`; without isolation a file may be `felled` as well.

    Raises:
        RuntimeError: a fault of ours.
    """
    if not isolated:
        yield from _outcomes_in_process(path, seeds)
        return
    for seed in seeds:
        path.write_bytes(mutated(seed))
        yield seed, outcome(path, isolated=True)


def _outcomes_in_process(path: Path, seeds: range) -> Iterator[tuple[int, str]]:
    """In one process for all, and another after a file that ended it by a signal: it is `felled`, and left there."""
    while seeds:
        command = [sys.executable, __file__, str(len(seeds)), f"--first={seeds.start}", f"--here={path}"]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
        ):
            begun = seeds.start
            for line in child.stdout or ():
                seed, *found = line.split()
                begun = int(seed) + 1
                yield int(seed), found[0] if found else FELLED
            if child.wait() > 0 or begun == seeds.start:
                errors.seek(0)
                raise RuntimeError(f"decoding seed {begun - 1} left with {child.returncode}: {errors.read()[-2_000:]}")
        seeds = range(begun, seeds.stop)


def _decode_here(path: Path, seeds: range) -> None:
    """Say which file it is at, then what became of it; a file that takes longer than a minute ends all."""
    for seed in seeds:
        path.write_bytes(mutated(seed))
        sys.stdout.write(f"{seed} ")
        sys.stdout.flush()
        signal.alarm(_HANG_S)
        sys.stdout.write(outcome(path, isolated=False) + "\n")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="how many files")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument("--isolated", action="store_true", help="each in a decoder process of its own")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.count)
    if args.here is not None:
        _decode_here(args.here, seeds)
        return
    found, begin_s = Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for seed, what in outcomes(path, seeds, isolated=args.isolated):
            found[what] += 1
            if what in (FELLED, "decoder_crash"):
                sys.stdout.write(f"seed {seed}: {what}; in isolation {outcome(path, isolated=True)}\n")
    sys.stdout.write(f"{dict(found.most_common())} in {time.monotonic() - begin_s:.0f} s\n")


if __name__ == "__main__":
    main()
