from pathlib import Path

import pytest
from pool_tasks import die_once, square_or_die

from gigmate.data.pool import run_tasks


def test_one_worker_stays_in_this_process_and_in_order() -> None:
    assert list(run_tasks(lambda n: n * n, range(5), workers=1)) == [(n, n * n) for n in range(5)]


@pytest.mark.parametrize("workers", [2, 3])
def test_only_the_task_that_kills_its_process_is_given_up(workers: int) -> None:
    numbers = [3, 13, 4, 5, 6, 7, 8]

    results = dict(run_tasks(square_or_die, numbers, workers))

    assert results == {n: None if n == 13 else n * n for n in numbers}


def test_a_task_whose_process_was_killed_from_outside_is_tried_again(tmp_path: Path) -> None:
    markers = [str(tmp_path / name) for name in "abc"]
    (tmp_path / "a").touch()
    (tmp_path / "c").touch()

    assert dict(run_tasks(die_once, markers, workers=2)) == {marker: Path(marker).name for marker in markers}


def test_an_error_of_a_task_is_raised() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        list(run_tasks(square_or_die, [2, "two", 3], workers=2))  # pyright: ignore[reportArgumentType]
