"""The bench's own arithmetic: turns, what is left out, ratios; and that its players play."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))  # experiments are no part of the package

from experiments.speed.own import model_of, player, traffic
from experiments.speed.peers import NUM_CODEBOOKS, Shape
from experiments.speed.rounds import Times, ratio, take_turns

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
    assert ratio(Times((4.0, 6.0, 8.0), 1.0), Times((2.0, 2.0, 2.0), 1.0)) == (3.0, 2.0, 4.0)


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
