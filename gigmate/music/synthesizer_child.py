"""The process that holds the synthesizer: it may hang or crash without harm to the one that asked.

Started as `python -m gigmate.music.synthesizer_child SOUNDFONT RATE QUALITY`. It reads MIDI files from stdin and
answers each on stdout with mono float32 samples; both have their length in bytes in front, 8 bytes, little endian.
"""

import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from symusic.core import ScoreTick, Synthesizer

from gigmate.music.soundfont_roots import with_roots_in_headers


def serve(requests: BinaryIO, answers: BinaryIO, synthesizer: Synthesizer) -> None:
    """Answer until the requests end."""
    while len(head := requests.read(8)) == 8:
        score = ScoreTick.from_midi(requests.read(struct.unpack("<q", head)[0]))
        samples = np.ascontiguousarray(np.asarray(synthesizer.render(score, stereo=False))[0], dtype="<f4")
        answers.write(struct.pack("<q", samples.nbytes))
        answers.write(samples.data)
        answers.flush()


def load(path: Path, sample_rate: int, quality: int) -> Synthesizer:
    """The synthesizer with the SoundFont at `path`, its root keys put where it reads them.

    Raises:
        ValueError: it isn't a SoundFont.
    """
    with tempfile.NamedTemporaryFile(suffix=path.suffix) as mended:
        mended.write(with_roots_in_headers(path.read_bytes()))
        mended.flush()
        return Synthesizer(mended.name, sample_rate, quality)


def main() -> None:
    """Serve on the standard streams; what the library prints goes to stderr, so that it can't spoil the answers."""
    path, rate, quality = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, load(Path(path), int(rate), int(quality)))


if __name__ == "__main__":
    main()
