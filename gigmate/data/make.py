"""One song: from its source to its shard and card. What runs in the worker processes."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gigmate.data.encode import AudioEncoder, Encoder, TokenEncoder
from gigmate.data.song import SongEntry, SongSource, conform
from gigmate.data.store import SongCard, finished_card, write_card, write_shard
from gigmate.device import has_float64
from gigmate.errors import InputError
from gigmate.stopwatch import Stopwatch


@dataclass(frozen=True)
class Job:
    """What a worker needs to know to make any song of a data set.

    Args:
        source: of the songs.
        folder: of the data set.
        kind: `tokens` or `audio`.
        codec: the codec's config as JSON (so that a job can be a key).
        device: where the codec runs.
    """

    source: SongSource
    folder: str
    kind: str
    codec: str
    device: str


@dataclass(frozen=True)
class Made:
    """What became of a song.

    Args:
        entry: which.
        card: None if it couldn't be used.
        fault: code and reason if it couldn't.
        is_kept: it was there already.
        seconds: of audio, and of work per stage.
    """

    entry: SongEntry
    card: SongCard | None
    fault: InputError | None = None
    is_kept: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)


@functools.lru_cache(maxsize=1)
def encoder_of(kind: str, codec: str, device: str) -> Encoder:
    """The encoder of a job; kept, so that a process loads its codec once.

    Raises:
        GigmateError: the codec can't be loaded.
    """
    if kind == "audio":
        return AudioEncoder()
    from gigmate.codec.catalog import load_codec

    return TokenEncoder(load_codec(json.loads(codec), device), device if has_float64(device) else "cpu")


def make_song(task: tuple[Job, SongEntry]) -> Made:
    """Make a song's shard and card, unless they are there; a song that can't be used is an answer, not an error.

    Raises:
        MachineError: the disk refused.
    """
    job, entry = task
    if card := finished_card(Path(job.folder), entry.song_id, entry.digest):
        return Made(entry, card, is_kept=True)
    # One thread, whatever the number of processes: with another number sums round otherwise, and codes flip.
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _made(job, entry, encoder_of(job.kind, job.codec, job.device))
    except InputError as error:
        return Made(entry, None, error)
    finally:
        torch.set_num_threads(num_threads)


def _made(job: Job, entry: SongEntry, encoder: Encoder) -> Made:
    stopwatch = Stopwatch()
    rate = encoder.recipe.sample_rate
    with stopwatch.part("source"):
        song = job.source.load(entry, rate)
        stems = conform(song.stems, rate)
    records = encoder.encode(stems, song, stopwatch)
    with stopwatch.part("write"):
        num_bytes, sha256 = write_shard(Path(job.folder), entry.song_id, records)
        card = SongCard(
            song_id=entry.song_id,
            source_digest=entry.digest,
            group=song.group,
            split=song.split,
            licence=song.licence,
            instruments=tuple(stems),
            num_records=len(records),
            has_grid=song.grid is not None,
            num_bytes=num_bytes,
            sha256=sha256,
        )
        write_card(Path(job.folder), card)
    audio_s = len(next(iter(stems.values()))) / rate
    return Made(entry, card, seconds={"audio": audio_s, **stopwatch.seconds})


def describe_config(config: Mapping[str, Any]) -> str:
    """A codec's config as `Job.codec` wants it."""
    return json.dumps(config, sort_keys=True)
