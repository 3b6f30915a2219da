"""Files hurt at random are taken or refused; GIGMATE_MUTATED=100000 says how many of them in the long lane."""

import contextlib
import os
from pathlib import Path

import pytest
from mutated_audio import FELLED, mutated, outcome, outcomes
from reporting import Report

from gigmate.audio.inspect import inspect
from gigmate.audio.isolation import STALL_S
from gigmate.audio.source import open_source
from gigmate.errors import InputError

MANY = int(os.environ.get("GIGMATE_MUTATED", "5000"))
"""A sixteenth of them each in a decoder process, which takes eighty times as long."""


def cpu_s() -> float:
    """Of this process and its children: other work on the machine doesn't count."""
    return sum(os.times()[:4])


def test_headers_of_mutated_files_are_judged_without_a_bug(tmp_path: Path) -> None:
    for seed in range(600):
        (tmp_path / "a").write_bytes(mutated(seed))
        with open_source(tmp_path / "a") as source, contextlib.suppress(InputError):
            assert inspect(source, 60).num_samples != 0


@pytest.mark.timeout(240 + MANY // 10)
@pytest.mark.parametrize("count", [40, pytest.param(MANY // 16, marks=pytest.mark.slow)])
def test_mutated_files_are_taken_or_refused_in_time(tmp_path: Path, count: int, report: Report) -> None:
    found, begin_s, slowest_s = set(), cpu_s(), 0.0
    for _, what in outcomes(tmp_path / "a", range(count), isolated=True):
        begin_s, slowest_s = cpu_s(), max(slowest_s, cpu_s() - begin_s)
        found.add(what)
    report("p12_mutated_files_outlived", count)
    report("p12_mutated_file_slowest", slowest_s, "s CPU")
    assert found >= {"taken", "decode_error", "truncated"}
    assert slowest_s <= STALL_S + 1


@pytest.mark.timeout(240 + MANY // 10)
@pytest.mark.parametrize("count", [300, pytest.param(MANY, marks=pytest.mark.slow)])
def test_what_fells_the_library_is_a_decoder_crash_in_isolation(tmp_path: Path, count: int, report: Report) -> None:
    path, num_seen, num_felled = tmp_path / "a", 0, 0
    for seed, what in outcomes(path, range(10_000, 10_000 + count), isolated=False):
        num_seen, num_felled = num_seen + 1, num_felled + (what == FELLED)
        assert what != FELLED or outcome(path, isolated=True) == "decoder_crash", seed
    report("p12_mutated_files_decoded_in_process", num_seen)
    report("p12_mutated_files_that_fell_the_library", num_felled)
    assert num_seen == count
