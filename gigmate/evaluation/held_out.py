"""Songs that no training has seen, by the rule that preparation splits data with."""

from collections.abc import Iterator

from gigmate.data.song import SongAudio, SongEntry, SongSource
from gigmate.data.splits import is_held_out
from gigmate.errors import InputError

VALID_FRACTION = 0.1
"""Share of the groups that preparation keeps for validation by default."""


def held_out_songs(
    source: SongSource, limit: int, sample_rate: int, seed: int = 0
) -> Iterator[tuple[SongEntry, SongAudio]]:
    """The first `limit` songs of `source` whose group is kept for validation; songs that can't be used are skipped.

    Raises:
        InputError: none of the songs is.
    """
    found = 0
    for entry in source.entries():
        group, split = source.group(entry)
        if not is_held_out(group, split, VALID_FRACTION, seed):
            continue
        try:
            audio = source.load(entry, sample_rate)
        except InputError:
            continue  # preparation says why; here another song will do
        yield entry, audio
        found += 1
        if found == limit:
            return
    if not found:
        raise InputError("no_songs", "no song that is kept for validation", "data.source", "take more songs")
