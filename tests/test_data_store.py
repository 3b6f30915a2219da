import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_fakes import audio_job

from gigmate.data.prepare import Policy, prepare_songs
from gigmate.data.store import Recipe, open_shard, read_manifest
from gigmate.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_songs(audio_job(tmp_path), Policy())
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def set_song(number: int, **values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest["songs"][number].update(values)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m["recipe"].update(format=99), "data_format"),
        (lambda m: m.pop("songs"), "data_malformed"),
        (lambda m: m["recipe"].update(kind="video"), "data_malformed"),
        (set_song(0, num_records="many"), "data_malformed"),
        (set_song(0, extra=1), "data_malformed"),
        (set_song(0, split="dev"), "data_malformed"),
        (set_song(0, song_id="../../etc/passwd"), "data_malformed"),
        (set_song(0, song_id="nobody"), "shard_missing"),
        (set_song(0, num_bytes=17), "shard_size"),
        (lambda m: [s.update(split=split) for s, split in zip(m["songs"], ["train", "valid"], strict=False)], "leak"),
    ],
)
def test_a_manifest_that_lies_is_refused(folder: Path, change: Callable[[dict[str, Any]], Any], code: str) -> None:
    edit(folder, change)
    with pytest.raises(InputError, match=f"GM-{code}"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "<html>"])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="GM-data_malformed"):
        read_manifest(folder)


def test_an_unfinished_data_set_is_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"GM-no_data.*run prepare\.py"):
        read_manifest(folder)


class Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code in a shard was run",))


def test_nothing_in_a_shard_is_run(folder: Path) -> None:
    recipe, (card, *_) = read_manifest(folder)
    path = folder / "songs" / f"{card.song_id}.npy"
    objects = io.BytesIO()
    np.save(objects, np.array([Canary()], dtype=object), allow_pickle=True)
    plain = io.BytesIO()
    np.save(plain, np.zeros(card.num_records))
    for content in (pickle.dumps(Canary()), objects.getvalue(), plain.getvalue(), b"", b"\x93NUMPY\x01", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="GM-shard_damaged"):
            open_shard(folder, recipe, card)


@pytest.mark.parametrize("kind", ["tokens", "video"])
def test_tokens_have_a_codec(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        Recipe(kind, 24_000)
