"""The bench's own arithmetic: turns, what is left out, ratios; that its players play and its tables say what is so."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))  # experiments are no part of the package

from experiments import bench
from experiments.speed import decode, held, parts, process, report
from experiments.speed.cold import CAN_FORGET, forget, kept_share
from experiments.speed.figures import Figure
from experiments.speed.gpu import decode_row
from experiments.speed.gpu_place import Place, limits
from experiments.speed.gpu_training import training_row
from experiments.speed.import_times import heaviest
from experiments.speed.inside import timed_parts
from experiments.speed.live_frame import LiveFrames
from experiments.speed.long_run import points, thirds
from experiments.speed.own import model_of, player, traffic
from experiments.speed.peers import NUM_CODEBOOKS, Shape
from experiments.speed.rounds import Times, ratio, take_turns
from gigmate.accompanist import Accompanist
from gigmate.device import Device
from gigmate.performance import Take

_SHAPE = Shape("least", 32, 2, 2, batch=2, context=3, is_guided=True)


def test_players_take_turns_and_the_first_round_does_not_count() -> None:
    played: list[str] = []
    times = take_turns({"a": lambda: played.append("a"), "b": lambda: played.append("b")}, rounds=2, steps=3, warm_up=1)
    assert "".join(played) == ("aaaa" + "bbbb") * 3
    assert {name: len(value.rounds) for name, value in times.items()} == {"a": 2, "b": 2}


def test_steps_that_lost_the_core_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, own, number = [0.0], [0.0], [0]

    def step() -> None:
        number[0] += 1
        own[0] += 1.0
        wall[0] += 1.0 if number[0] % 2 else 50.0  # every other step waits for the core

    monkeypatch.setattr(time, "perf_counter", lambda: wall[0])
    monkeypatch.setattr(time, "thread_time", lambda: own[0])
    times = take_turns({"a": step}, rounds=3, steps=4, warm_up=0)["a"]
    assert (times.median_s, times.kept) == (1.0, 0.5)
    assert take_turns({"a": step}, rounds=1, steps=4, warm_up=0, is_one_thread=False)["a"].median_s > 20


def test_ratios_are_of_rounds() -> None:
    assert ratio(Times((4.0, 6.0, 8.0), 1.0), Times((2.0, 2.0, 2.0), 1.0)) == [2.0, 3.0, 4.0]


def test_traffic_counts_weights_and_ring() -> None:
    shape = Shape("least", 32, 2, 2, context=9)
    layers = 2 * (3 * 32 * 32 + 32 * 32 + 2 * 96 * 32 + 96 * 32)  # the MLP's 85 hidden units are rounded to 96
    heads, ring = NUM_CODEBOOKS * 2048 * 32, 2 * 2 * 10 * 32
    assert traffic(shape, "float32") == 4 * (layers + heads + ring)
    assert traffic(shape, "int8") == layers + heads + 2 * ring


@pytest.mark.parametrize("weights", [None, "float32"])
def test_own_players_play(weights: None) -> None:
    step = player(_SHAPE, weights, model_of(_SHAPE, window=8))
    with torch.inference_mode():
        assert [getattr(step(), "shape", None) for _ in range(3)] == [(2, NUM_CODEBOOKS)] * 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tables go."""
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def _no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("transformers", "audiocraft", "moshi"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it weren't installed


def test_json_has_numbers_with_their_interval_and_the_page_has_them_rounded(folder: Path) -> None:
    page = report.write("x", [{"what": "step", "ms": Figure.over([0.004, 0.002, 0.003], ".1f", 1e3), "rows": 2}])
    assert page.splitlines()[-1] == "| step | 3.0 (2.0 to 4.0) | 2 |"
    kept = json.loads((folder / "x.json").read_text())
    assert kept["rows"] == [{"what": "step", "ms": {"median": 3.0, "least": 2.0, "most": 4.0}, "rows": 2}]
    assert {"torch", "onnxruntime", "BLAS of numpy"} <= set(kept["machine"]["versions"])


@pytest.mark.usefixtures("_no_peers")
def test_a_missing_peer_is_not_shown_and_the_table_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`generate` of transformers once ended the run before anything was kept."""
    monkeypatch.setattr(decode, "CASES", ((Shape("least", 32, 2, 2), 3.0),))
    monkeypatch.setattr(decode, "copy_bytes_per_s", lambda: 1e9)
    decode.main(["--rounds", "1"])
    step, whole = json.loads((folder / "decode_1_thread.json").read_text())["rows"]
    for row, names in ((step, ("transformers", "audiocraft", "moshi")), (whole, ("transformers generate",))):
        assert {row[f"{name}, ms"] for name in names} == {"not shown"}
        assert (row["best peer"], row["int8: times the best peer"]) == ("not shown", "not shown")
        assert row["int8, ms"]["median"] > 0


def test_the_best_peer_is_the_fastest_of_those_that_are_there() -> None:
    times = {"a": Times((4.0,), 1.0), "b": Times((3.0,), 1.0), "own": Times((1.5,), 1.0)}
    row = decode.beside_best(times, ("a", "b", "missing"), ("own",))
    assert row == {"best peer": "b", "own: times the best peer": Figure(2.0, ".1f", 2.0, 2.0)}


def test_parts_are_timed_inside_and_left_as_they_were() -> None:
    class Inner:
        def work(self, answer: int) -> int:
            time.sleep(0.01)
            return answer

    before = Inner.work
    with timed_parts({"inner": [(Inner, "work")], "idle": []}) as seconds:
        assert [Inner().work(n) for n in (1, 2)] == [1, 2]
    assert seconds["inner"] >= 0.02
    assert (seconds["idle"], Inner.work) == (0.0, before)


def test_a_live_frame_goes_from_mix_to_stem_through_every_part() -> None:
    frame = LiveFrames(Accompanist.load(device=Device(threads=1, weights="float32")), "drums")
    sent = [frame() for _ in range(12)][-1]
    assert [audio.num_frames for audio in sent] == [1]
    (found,) = parts.measure({"float32": frame}, rounds=1, steps=3)["float32"]
    assert {part for part, seconds in found.items() if seconds <= 0} == set()
    assert found["model"] + found["codec: decode"] < found["whole frame"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system says only what was held at most")
def test_memory_is_that_of_now() -> None:
    before = process.memory_mib()
    block = np.ones(16 << 20)
    held_now = process.memory_mib()
    del block
    assert held_now - before > 120
    assert process.memory_mib() - before < 8


def test_a_long_run_is_marked_on_the_way_and_read_in_thirds() -> None:
    run = held.play(Shape("least", 32, 2, 2), steps=12, marks=6)
    assert [mark["step"] for mark in run["marks"]] == [0, 2, 4, 6, 8, 10, 12]
    assert [row["steps"] for row in points(run)] == ["before there is a model", 0, 2, 4, 10]
    for mark in run["marks"]:
        mark["mib"] = float(mark["step"])
    assert [str(row["figure"]) for row in thirds(run)][2:] == ["3.0 (2.0 to 4.0)", "11.0 (10.0 to 12.0)"]


@pytest.mark.skipif(not CAN_FORGET, reason="this system can't be asked to forget files")
def test_what_was_just_written_is_in_memory_and_forgetting_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "some" / "file"
    file.parent.mkdir()
    file.write_bytes(b"x" * 100_000)
    assert kept_share([tmp_path]) == 1.0
    forget([tmp_path])
    assert 0.0 <= kept_share([tmp_path]) <= 1.0  # a disk in memory keeps all of it
    assert file.read_bytes() == b"x" * 100_000


def test_imports_are_summed_by_package_and_count_once() -> None:
    text = """import time: self [us] | cumulative | imported package
import time:      2000 |       2000 |     torch.nn
import time:      3000 |       5000 |   torch
import time:       500 |       5500 | gigmate.offline
"""
    rows = [(row["package"], row["modules"], str(row["ms"])) for row in heaviest(text, 1)]
    assert rows == [("torch", 2, "5"), ("all", 3, "6")]


def test_rows_of_the_chain_say_what_was_played() -> None:
    assert bench.named(Take(guidance_scale=1.7)) == "song to stem: drums, guidance 1.7"
    assert bench.named(Take(instrument="bass", guidance_scale=1.0)) == "song to stem: bass, no guidance, 2 candidates"


@pytest.mark.usefixtures("_no_peers")
def test_what_is_meant_for_a_gpu_runs_on_a_cpu() -> None:
    """All but the capture of a graph and the peers."""
    place = Place(torch.device("cpu"), lambda: None, lambda work: work, rounds=1, steps=2)
    assert min(limits(place, copied=1 << 10, width=16)) > 0
    with torch.inference_mode():
        row = decode_row(Shape("least", 32, 2, 2, batch=2), 1e9, place)
    assert row["graph: times transformers"] == row["audiocraft, steps/s"] == "not shown"
    assert all(float(str(row[f"{name}, steps/s"]).split()[0]) > 0 for name in ("graph", "operator by operator"))
    trained = training_row(Shape("least", 32, 2, 2, batch=2), 8, 1e12, place, window=16)
    assert isinstance(trained["s a step"], Figure)


def test_phony_targets_are_the_rules_of_the_makefile(repo: Path) -> None:
    text = (repo / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)", text, re.M)
    assert set(phony.split()) == set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.M))
