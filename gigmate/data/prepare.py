"""Preparation: songs of a source become a data set of shards; what `prepare.py` in the repository's root runs.

    source --entries--> songs --workers--> shard + card each --splits--> manifest

A rerun makes only what is missing, or whose source changed (be it in its code). A song that can't be used is set aside
with its reason. The config (see conf/prepare.yaml):

    {"data": {"folder": str, "source": {"_target_": "gigmate.data.sources.PracticeSource", ...}},
     "codec": {"name": str, ...}, "device": {...}, "out": str, "kind": "tokens" | "audio", "valid_fraction": float,
     "limit": int | None, "workers": int, "strict": bool, "max_bad_fraction": float, "force": bool, "seed": int}
"""

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigmate.data.folder import opened
from gigmate.data.likeness import leaks
from gigmate.data.make import Job, Made, describe_config, encoder_of, make_song
from gigmate.data.pool import run_tasks
from gigmate.data.song import SongEntry, SongSource
from gigmate.data.splits import assign_splits
from gigmate.data.store import QUARANTINE, Recipe, SongCard, to_json, write_manifest
from gigmate.errors import InputError, printable
from gigmate.files.atomic import write_bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """How a data set is made from a source.

    Args:
        valid_fraction: share of the groups that is kept for validation, where the source doesn't say.
        limit: make this many songs only.
        workers: processes.
        strict: stop at the first song that can't be used.
        max_bad_fraction: fail if more of the songs can't be used.
        force: throw away what another recipe made.
        seed: of the splits.
    """

    valid_fraction: float = 0.1
    limit: int | None = None
    workers: int = 1
    strict: bool = False
    max_bad_fraction: float = 0.2
    force: bool = False
    seed: int = 0


def prepare(cfg: Mapping[str, Any]) -> None:
    """Make the data set that a config describes, or finish it.

    Raises:
        UsageError: the folder holds something else.
        InputError: no song could be used, too many couldn't, or one couldn't and `strict` is set.
        MachineError: the disk refused, or another process is at work in the folder.
    """
    from gigmate.config.registry import build, primitives
    from gigmate.device import resolve

    plain = primitives(cfg)
    source = build(plain["data"]["source"], "data.source")
    codec = describe_config(plain["codec"])
    device = str(resolve(plain["device"]).codec_device)
    job = Job(source, str(plain["out"]), plain["kind"], codec, device)
    policy = Policy(**{key: plain[key] for key in Policy.__dataclass_fields__})
    prepare_songs(job, policy)


def prepare_songs(job: Job, policy: Policy) -> list[SongCard]:
    """As `prepare`, from objects; returns the songs of the manifest.

    Raises:
        UsageError, InputError, MachineError: see `prepare`.
    """
    entries = _chosen(job.source, policy.limit)
    recipe = encoder_of(job.kind, job.codec, job.device).recipe
    folder = Path(job.folder)
    with opened(folder, recipe, policy.force):
        made = _make_all(job, entries, policy)
        cards = [result.card for result in made if result.card]
        bad = [result for result in made if result.fault] + _duplicates(cards)
        _set_aside(bad, len(entries), policy, folder)
        cards = assign_splits(_usable(cards, bad), policy.valid_fraction, policy.seed)
        if near := _near_duplicates(folder, recipe, cards, policy.workers):
            _set_aside(bad + near, len(entries), policy, folder)
            cards = _usable(cards, near)
        write_manifest(folder, recipe, cards)
    _report(cards, made, recipe)
    return cards


def _chosen(source: SongSource, limit: int | None) -> list[SongEntry]:
    from gigmate.data.sources import shuffled

    entries = source.entries() if limit is None else shuffled(source.entries(), limit)
    if len({entry.song_id for entry in entries}) != len(entries):
        raise ValueError(f"{source} names two songs alike")
    return sorted(entries, key=lambda entry: entry.song_id)


def _make_all(job: Job, entries: Sequence[SongEntry], policy: Policy) -> list[Made]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    made: list[Made] = []
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("songs", total=len(entries))
        tasks = [(job, entry) for entry in entries]
        for (_, entry), result in run_tasks(make_song, tasks, min(policy.workers, max(1, len(entries)))):
            died = InputError("worker_died", "the process that made it was killed", remedy="check the memory")
            made.append(result or Made(entry, None, died))
            progress.advance(bar)
            if fault := made[-1].fault:
                log.warning("set aside %s: %s", printable(entry.reference), fault)
                if policy.strict:
                    raise fault
    return sorted(made, key=lambda result: result.entry.song_id)


def _duplicates(cards: Sequence[SongCard]) -> list[Made]:
    """All but the first of the songs that sound the same to the bit."""
    first: dict[str, str] = {}
    pairs = [(card, first.setdefault(card.sha256, card.song_id)) for card in cards]
    return [_bad(card, "duplicate", f"the same sound as {other}") for card, other in pairs if other != card.song_id]


def _near_duplicates(folder: Path, recipe: Recipe, cards: Sequence[SongCard], workers: int) -> list[Made]:
    """Songs for training that are recordings kept from it: renamed, encoded again, louder, cut or resampled."""
    pairs = leaks(folder, recipe, cards, workers)
    return [_bad(one, "near_duplicate", f"a copy of {other.song_id}, {other.split}") for one, other in pairs]


def _bad(card: SongCard, code: str, what: str) -> Made:
    return Made(
        SongEntry(card.song_id, card.song_id, card.source_digest), None, InputError(code, what, remedy="remove one")
    )


def _usable(cards: Sequence[SongCard], bad: Sequence[Made]) -> list[SongCard]:
    unusable = {result.entry.song_id for result in bad}
    return [card for card in cards if card.song_id not in unusable]


def _set_aside(bad: Sequence[Made], num_songs: int, policy: Policy, folder: Path) -> None:
    _write_quarantine(folder, bad)
    _judge(bad, num_songs, policy, folder)


def _write_quarantine(folder: Path, bad: Sequence[Made]) -> None:
    lines = [
        to_json({"song_id": r.entry.song_id, "source": r.entry.reference, "code": r.fault.code, "why": str(r.fault)})
        for r in bad
        if r.fault
    ]
    content = b"".join(b" ".join(line.split(b"\n")).strip() + b"\n" for line in lines)
    write_bytes(folder / QUARANTINE, content)


def _judge(bad: Sequence[Made], num_songs: int, policy: Policy, folder: Path) -> None:
    if len(bad) == num_songs:
        what = f"none of {num_songs} songs can be used"
        raise InputError("no_songs", what, folder / QUARANTINE, "read there why")
    if len(bad) > policy.max_bad_fraction * num_songs:
        what = f"{len(bad)} of {num_songs} songs can't be used, max_bad_fraction is {policy.max_bad_fraction}"
        raise InputError("too_many_bad", what, folder / QUARANTINE, "read there why, or raise max_bad_fraction")
    if bad:
        log.warning("%d of %d songs set aside: see %s", len(bad), num_songs, printable(folder / QUARANTINE))


def _report(cards: Sequence[SongCard], made: Sequence[Made], recipe: Recipe) -> None:
    splits = Counter(card.split for card in cards)
    hours = sum(card.num_records for card in cards) / float(recipe.frame_rate) / 3600
    log.info("%d songs (%s), %.2f h", len(cards), ", ".join(f"{n} {s}" for s, n in sorted(splits.items())), hours)
    spent: dict[str, float] = defaultdict(float)
    for result in made:
        for stage, seconds in result.seconds.items():
            spent[stage] += seconds
    audio_s = spent.pop("audio", 0.0)
    if audio_s:
        spent["all"] = sum(spent.values())
        speeds = ", ".join(f"{stage} {audio_s / max(s, 1e-9):.0f}x" for stage, s in spent.items())
        log.info("speed per core, in seconds of song per second: %s", speeds)
