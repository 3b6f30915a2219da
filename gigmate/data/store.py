"""The folder that a prepared data set is: one shard and one card per song, a recipe before, a manifest at the end.

    recipe.json            what every shard was made with; another recipe needs another folder
    songs/<id>.npy         the shard: a plain array with one record per frame
    songs/<id>.json        the card, written after its shard: a song without a card isn't done
    quarantine.jsonl       the songs that couldn't be used, and why
    manifest.json          all cards with their splits, written last: a data set without it isn't done

All are written atomically and hold no time, no path and no order of work: the same songs give the same bytes. A
record holds all stems of its frame, so a window is one contiguous piece of one file.
"""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.codec.base import CodecSpec
from gigmate.data.song import SPLITS
from gigmate.errors import InputError
from gigmate.files.atomic import write_bytes

FORMAT = 4
AUDIO_HOP = 480
"""Samples per frame of audio shards: that of the compact codec, the one codec that is trained here."""

MANIFEST, RECIPE, QUARANTINE, SONGS = "manifest.json", "recipe.json", "quarantine.jsonl", "songs"
_SAFE_ID = re.compile(r"[a-z0-9_-]{1,100}")
_AGAIN = "run prepare.py again"


@dataclass(frozen=True)
class Recipe:
    """What all shards of a data set were made with.

    Args:
        kind: `tokens` or `audio`.
        sample_rate: Hz.
        codec: of tokens; None for audio.
        mix_features: D; 0 for audio.
        beat_features: G; 0 for audio.
        format: of the files.

    Raises:
        ValueError: a kind without what it needs.
    """

    kind: str
    sample_rate: int
    codec: CodecSpec | None = None
    mix_features: int = 0
    beat_features: int = 0
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.kind not in ("tokens", "audio") or (self.kind == "tokens") != (self.codec is not None):
            raise ValueError(f"kind is {self.kind!r} with codec {self.codec}: tokens have one, audio has none")

    @property
    def frame_rate(self) -> Fraction:
        """Records per second."""
        return Fraction(self.sample_rate, AUDIO_HOP) if self.codec is None else self.codec.frame_rate

    def record(self, num_stems: int) -> np.dtype[Any]:
        """The type of one record of a song with `num_stems` stems.

        Tokens: `codes` [I + 1, K], `notes` [I + 1] (`note_codes`) and `active` [I + 1] (the last one is the
        full mix), `power` [I, D] of the stems, `beats` [G], `root` and `tones` of the harmony (`frame_harmony`).
        Audio: `stems` [AUDIO_HOP, I] samples and `notes` [I].
        """
        if self.codec is None:
            return np.dtype([("stems", "<i2", (AUDIO_HOP, num_stems)), ("notes", "<i2", (num_stems,))])
        return np.dtype(
            [
                ("codes", "<i2", (num_stems + 1, self.codec.num_codebooks)),
                ("notes", "<i2", (num_stems + 1,)),
                ("active", "|u1", (num_stems + 1,)),
                ("power", "<f2", (num_stems, self.mix_features)),
                ("beats", "<f4", (self.beat_features,)),
                ("root", "|i1"),
                ("tones", "<u2"),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Primitives."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """What `to_dict` made."""
        codec = values["codec"]
        return cls(**{**values, "codec": None if codec is None else CodecSpec(**codec)})


@dataclass(frozen=True)
class SongCard:
    """What is known of a prepared song.

    Args:
        song_id: name of its files.
        source_digest: of what it was made from.
        group: never split between training and validation.
        split: by its source; in a manifest always set.
        licence: of its sound.
        instruments: of its stems, in the order of the records' columns.
        num_records: frames.
        has_grid: whether beats are known; if not, their features are zero.
        num_bytes: size of the shard.
        sha256: of the shard.
    """

    song_id: str
    source_digest: str
    group: str
    split: str | None
    licence: str
    instruments: tuple[str, ...]
    num_records: int
    has_grid: bool
    num_bytes: int
    sha256: str

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SongCard":
        """A card from JSON.

        Raises:
            ValueError: a field is missing, unknown or senseless.
        """
        if set(values) != {field.name for field in fields(cls)}:
            raise ValueError(f"a song with the fields {sorted(values)}")
        card = cls(**{**values, "instruments": tuple(values["instruments"])})
        sizes = (card.num_records, card.num_bytes)
        if not _SAFE_ID.fullmatch(card.song_id) or not all(isinstance(n, int) and n > 0 for n in sizes):
            raise ValueError(f"song {card.song_id!r} of {card.num_records!r} records, {card.num_bytes!r} bytes")
        if card.split not in (None, *SPLITS):
            raise ValueError(f"split {card.split!r}")
        return card


def shard_path(folder: Path, song_id: str) -> Path:
    """Where the shard of a song lies."""
    return folder / SONGS / f"{song_id}.npy"


def card_path(folder: Path, song_id: str) -> Path:
    """Where the card of a song lies."""
    return folder / SONGS / f"{song_id}.json"


def to_json(value: Any) -> bytes:
    """The one way in which this data set writes JSON."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def write_shard(folder: Path, song_id: str, records: NDArray[Any]) -> tuple[int, str]:
    """Write a shard; returns its size and hash.

    Raises:
        MachineError: the disk refused.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, records, allow_pickle=False)
    content = buffer.getvalue()
    write_bytes(shard_path(folder, song_id), content)
    return len(content), hashlib.sha256(content).hexdigest()


def write_card(folder: Path, card: SongCard) -> None:
    """Write the card of a song whose shard is written.

    Raises:
        MachineError: the disk refused.
    """
    write_bytes(card_path(folder, card.song_id), to_json(asdict(card)))


def finished_card(folder: Path, song_id: str, source_digest: str) -> SongCard | None:
    """The card of a song that is made already from the same source and whose shard is whole; else None."""
    try:
        card = SongCard.from_dict(json.loads(card_path(folder, song_id).read_bytes()))
        with open(shard_path(folder, song_id), "rb") as file:
            is_whole = hashlib.file_digest(file, "sha256").hexdigest() == card.sha256
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return card if is_whole and card.source_digest == source_digest and card.song_id == song_id else None


def write_manifest(folder: Path, recipe: Recipe, cards: Sequence[SongCard]) -> None:
    """Declare the data set done.

    Raises:
        MachineError: the disk refused.
    """
    songs = [asdict(card) for card in sorted(cards, key=lambda card: card.song_id)]
    write_bytes(folder / MANIFEST, to_json({"recipe": recipe.to_dict(), "songs": songs}))


def read_recipe(folder: Path) -> Recipe | None:
    """The recipe of a data set in the making; None if there is none that this version can read."""
    try:
        return Recipe.from_dict(json.loads((folder / RECIPE).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def read_manifest(folder: Path) -> tuple[Recipe, list[SongCard]]:
    """Recipe and songs of a finished data set; every shard is there and has its size.

    Raises:
        InputError: `no_data`, `data_format`, `data_malformed`, `shard_missing`, `shard_size` or `leak`.
    """
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        if raw["recipe"]["format"] != FORMAT:
            what = f"made by format {raw['recipe']['format']!r}, this version reads {FORMAT}"
            raise InputError("data_format", what, path, _AGAIN)
        recipe = Recipe.from_dict(raw["recipe"])
        cards = [SongCard.from_dict(values) for values in raw["songs"]]
    except OSError as error:
        what = f"no finished data set ({error.strerror})"
        raise InputError("no_data", what, path, "run prepare.py with this folder as out") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError("data_malformed", f"can't be read ({error!r})", path, _AGAIN) from error
    for card in cards:
        _check_shard(shard_path(folder, card.song_id), card)
    check_leaks(cards)
    return recipe, cards


def _check_shard(path: Path, card: SongCard) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError("shard_missing", f"can't be read ({error.strerror})", path, _AGAIN) from error
    if size != card.num_bytes:
        raise InputError("shard_size", f"{size} bytes, the manifest says {card.num_bytes}", path, _AGAIN)


def check_leaks(cards: Sequence[SongCard]) -> None:
    """Refuse songs of one group, or with one content, in two splits.

    Raises:
        InputError: `leak`, with both songs.
    """
    seen: dict[tuple[str, str], SongCard] = {}
    for card in cards:
        for key in (("group", card.group), ("content", card.sha256), ("song", card.song_id)):
            other = seen.setdefault(key, card)
            if other.split != card.split:
                what = f"{other.song_id} is in {other.split}, {card.song_id} in {card.split}: one {key[0]}"
                raise InputError("leak", what, remedy="give them one split at their source, or remove one")


def open_shard(folder: Path, recipe: Recipe, card: SongCard) -> NDArray[Any]:
    """The records of a song, memory-mapped: [num_records] of `recipe.record(...)`.

    Raises:
        InputError: `shard_damaged`: something else lies there; nothing in it is run (no pickle).
    """
    path = shard_path(folder, card.song_id)
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("shard_damaged", f"no plain array ({error})", path, _AGAIN) from error
    expected = recipe.record(len(card.instruments))
    if records.dtype != expected or records.shape != (card.num_records,):
        what = f"holds {records.shape} of another type than the manifest's {card.num_records} records"
        raise InputError("shard_damaged", what, path, _AGAIN)
    return records
