"""Data sets: the same bytes from the same songs, whatever happened on the way."""

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_fakes import SPEC, FakeCodec, FakeSource, audio_job, token_job

from gigmate.data import make
from gigmate.data.make import make_song
from gigmate.data.prepare import Policy, prepare, prepare_songs
from gigmate.data.store import SongCard, open_shard, read_manifest
from gigmate.errors import InputError, MachineError, UsageError


@pytest.fixture(autouse=True)
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    make.encoder_of.cache_clear()
    monkeypatch.setattr("gigmate.codec.catalog.load_codec", lambda config, device: FakeCodec())


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_token_data_set_reads_back(tmp_path: Path) -> None:
    cards = prepare_songs(token_job(tmp_path), Policy(valid_fraction=0.3))

    recipe, read = read_manifest(tmp_path)
    assert read == cards
    assert (recipe.kind, recipe.codec, recipe.mix_features, recipe.beat_features) == ("tokens", SPEC, 108, 10)
    assert [card.song_id for card in read] == [f"song-{i}" for i in range(6)]
    assert {card.split for card in read} == {"train", "valid"}
    assert [card.has_grid for card in read] == [True, False] * 3
    assert [card.instruments for card in read] == [("drums", "bass", "keys")] * 5 + [("drums",)]
    assert open_shard(tmp_path, recipe, read[0])["codes"].shape == (200, 4, 2)
    assert not (tmp_path / "quarantine.jsonl").read_bytes()


def test_a_rerun_changes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    prepare_songs(token_job(tmp_path), Policy())
    before, times = bytes_of(tmp_path), {p: p.stat().st_mtime_ns for p in tmp_path.glob("songs/*")}

    prepare_songs(token_job(tmp_path), Policy())

    assert bytes_of(tmp_path) == before
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("songs/*")} == times


def test_only_what_changed_or_is_damaged_is_made_anew(tmp_path: Path) -> None:
    prepare_songs(audio_job(tmp_path), Policy())
    before = bytes_of(tmp_path)
    shard, cut, lost = (tmp_path / "songs" / f"song-{i}.npy" for i in range(3))
    flipped = bytearray(shard.read_bytes())
    flipped[5000] ^= 1
    shard.write_bytes(flipped)
    cut.write_bytes(cut.read_bytes()[:-7])
    lost.unlink()
    (tmp_path / "songs" / "song-3.json").write_text("{")
    (tmp_path / "songs" / "song-4.npy.tmp.999999999").write_text("left by the dead")
    kept = (tmp_path / "songs" / "song-5.npy").stat().st_mtime_ns

    prepare_songs(audio_job(tmp_path), Policy())

    assert bytes_of(tmp_path) == before
    assert (tmp_path / "songs" / "song-5.npy").stat().st_mtime_ns == kept
    prepare_songs(audio_job(tmp_path, FakeSource(version=1)), Policy())
    assert (tmp_path / "songs" / "song-5.npy").stat().st_mtime_ns != kept


@pytest.mark.slow
def test_same_bytes_with_other_hash_seeds_and_numbers_of_workers(tmp_path: Path) -> None:
    prepare_songs(audio_job(tmp_path / "here"), Policy())
    code = (
        "import sys; from data_fakes import audio_job; from gigmate.data.prepare import Policy, prepare_songs\n"
        "if __name__ == '__main__': prepare_songs(audio_job(sys.argv[1]), Policy(workers=int(sys.argv[2])))"
    )
    for hash_seed, workers in (("0", "2"), ("1", "1")):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)}
        target = tmp_path / workers
        subprocess.run([sys.executable, "-c", code, str(target), workers], env=env, check=True)
        assert bytes_of(target) == bytes_of(tmp_path / "here")


@pytest.mark.slow
def test_killed_at_any_time_a_rerun_ends_in_the_same_bytes(tmp_path: Path) -> None:
    source = FakeSource(num_songs=40, seconds=4.0)
    prepare_songs(audio_job(tmp_path / "whole", source), Policy())
    target, num_interrupted = tmp_path / "killed", 0
    for num_files in range(1, 80, 4):
        # fork: to start afresh would take seconds each
        process = multiprocessing.get_context("fork").Process(
            target=prepare_songs, args=(audio_job(target, source), Policy())
        )
        process.start()
        while process.is_alive() and len(list(target.glob("songs/*"))) < num_files:
            time.sleep(0.0002)
        process.kill()
        process.join()
        num_interrupted += process.exitcode != 0
        for card_file in target.glob("songs/*.json"):  # a card is never there without its whole shard
            card = SongCard.from_dict(json.loads(card_file.read_bytes()))
            assert hashlib.sha256(card_file.with_suffix(".npy").read_bytes()).hexdigest() == card.sha256
    assert num_interrupted >= 15

    prepare_songs(audio_job(target, source), Policy())
    assert bytes_of(target) == bytes_of(tmp_path / "whole")


def test_bad_songs_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    cards = prepare_songs(audio_job(tmp_path, FakeSource(num_songs=10, bad=(3,))), Policy())

    assert [card.song_id for card in cards] == [f"song-{i}" for i in range(10) if i != 3]
    lines = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert [(line["song_id"], line["code"]) for line in lines] == [("song-3", "decode_error")]
    assert "planted" in lines[0]["why"]


@pytest.mark.parametrize(
    ("bad", "policy", "match"),
    [
        ((3,), Policy(strict=True), "GM-decode_error.*planted"),
        ((1, 2, 3), Policy(max_bad_fraction=0.4), "3 of 6 songs can't be used, max_bad_fraction is 0.4"),
        (tuple(range(6)), Policy(max_bad_fraction=1.0), "none of 6 songs"),
    ],
)
def test_too_many_bad_songs_fail_and_leave_no_manifest(
    tmp_path: Path, bad: tuple[int, ...], policy: Policy, match: str
) -> None:
    with pytest.raises(InputError, match=match):
        prepare_songs(audio_job(tmp_path, FakeSource(bad=bad)), policy)
    assert not (tmp_path / "manifest.json").exists()


def test_the_second_of_two_equal_songs_is_set_aside(tmp_path: Path) -> None:
    class Doubled(FakeSource):
        def load(self, entry: object, sample_rate: int) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            return super().load(self.entries()[-1], sample_rate)

    cards = prepare_songs(audio_job(tmp_path, Doubled(num_songs=3)), Policy(max_bad_fraction=1))

    assert [card.song_id for card in cards] == ["song-0"]
    assert (tmp_path / "quarantine.jsonl").read_text().count('"duplicate"') == 2


def test_a_limit_takes_a_fixed_part(tmp_path: Path) -> None:
    some = {c.song_id for c in prepare_songs(audio_job(tmp_path / "3", FakeSource(12)), Policy(limit=3))}
    more = {c.song_id for c in prepare_songs(audio_job(tmp_path / "7", FakeSource(12)), Policy(limit=7))}
    assert len(some) == 3
    assert len(more) == 7
    assert some < more


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match="GM-occupied"):
        prepare_songs(audio_job(tmp_path), Policy())
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]

    prepare_songs(audio_job(tmp_path), Policy(force=True))
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_another_recipe_needs_another_folder_or_force(tmp_path: Path) -> None:
    prepare_songs(audio_job(tmp_path), Policy())
    before = bytes_of(tmp_path)
    with pytest.raises(UsageError, match="holds audio at 24000 Hz, this is tokens of codec fake"):
        prepare_songs(token_job(tmp_path), Policy())
    assert bytes_of(tmp_path) == before

    prepare_songs(token_job(tmp_path, FakeSource(num_songs=4)), Policy(force=True))
    prepare_songs(token_job(tmp_path / "fresh", FakeSource(num_songs=4)), Policy())
    shutil.move(tmp_path / "fresh", fresh := tmp_path.with_name("fresh"))
    assert bytes_of(tmp_path) == bytes_of(fresh)


def test_a_folder_has_one_builder(tmp_path: Path) -> None:
    class Nested(FakeSource):
        def load(self, entry: object, sample_rate: int) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            prepare_songs(audio_job(tmp_path), Policy())
            raise AssertionError

    with pytest.raises(MachineError, match="GM-locked"):
        prepare_songs(audio_job(tmp_path, Nested()), Policy())


def test_a_full_disk_is_exit_5_and_the_rerun_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 9:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="free some space") as caught:
        prepare_songs(audio_job(tmp_path), Policy())
    assert caught.value.exit_code == 5
    monkeypatch.undo()
    assert list(tmp_path.glob("songs/*.json"))

    prepare_songs(audio_job(tmp_path), Policy())
    prepare_songs(audio_job(tmp_path.with_name("clean")), Policy())
    assert bytes_of(tmp_path) == bytes_of(tmp_path.with_name("clean"))


def test_a_broken_source_is_a_bug_not_a_bad_song(tmp_path: Path) -> None:
    class Broken(FakeSource):
        def load(self, entry: object, sample_rate: int) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        prepare_songs(audio_job(tmp_path, Broken()), Policy())


def test_a_song_is_made_with_one_thread_whatever_the_process_uses(tmp_path: Path) -> None:
    import torch

    seen = []

    class Watching(FakeSource):
        def load(self, entry: object, sample_rate: int) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            seen.append(torch.get_num_threads())
            return super().load(entry, sample_rate)  # pyright: ignore[reportArgumentType]

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        job = audio_job(tmp_path, Watching())
        make_song((job, job.source.entries()[0]))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_shards_are_plain_arrays(tmp_path: Path) -> None:
    prepare_songs(token_job(tmp_path), Policy())
    for path in tmp_path.glob("songs/*.npy"):
        assert not np.load(path, allow_pickle=False).dtype.hasobject


@pytest.mark.parametrize("kind", ["audio", "tokens"])
def test_the_config_of_prepare_makes_what_training_reads(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCodec, "spec", replace(SPEC, sample_rate=24_000, hop=480))
    practice = {"_target_": "gigmate.data.sources.PracticeSource", "num_songs": 2, "first_seed": 5, "seconds": 4.0}
    config = {
        "data": {"folder": "elsewhere", "source": practice},
        "codec": {"name": "fake"},
        "device": {
            "name": "cpu",
            "codec": None,
            "dtype": "float32",
            "threads": None,
            "weights": "int8",
            "graph": False,
        },
        "out": str(tmp_path / "made"),
        "kind": kind,
        **{"valid_fraction": 0.1, "limit": None, "workers": 1, "strict": False, "max_bad_fraction": 0.0},
        **{"force": False, "seed": 0, "paths": {"runs_dir": "unused"}},
    }

    prepare(config)

    recipe, cards = read_manifest(tmp_path / "made")
    assert recipe.kind == kind
    assert [card.song_id for card in cards] == ["practice-0000000005", "practice-0000000006"]
    assert [card.num_records for card in cards] == [4 * 50] * 2
