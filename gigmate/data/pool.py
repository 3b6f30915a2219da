"""Work spread over processes, of which any may die without taking the others' work along."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[tuple[Task, Result | None]]:
    """`function` of every task, as they finish; None for a task that kills its process.

    With one worker everything happens in this process, in order. With more, a dead process breaks its whole pool, so
    no more tasks than processes are ever under way: those are tried again one by one, and only the one that kills
    again is given up.

    Args:
        function: importable by name, as are its argument and result.
        tasks: what to do.
        workers: number of processes.
    """
    waiting = iter(tasks)
    if workers == 1:
        yield from ((task, function(task)) for task in waiting)
        return
    is_broken = True
    while is_broken:
        suspects: list[Task] = []
        with _pool(workers) as pool:
            for task, future in _finished(pool, function, waiting, workers):
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(task)
                else:
                    yield task, future.result()
        is_broken = bool(suspects)
        for task in suspects:
            yield task, _alone(function, task)


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process that runs threads (torch does) can hang
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _finished(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], waiting: Iterator[Task], limit: int
) -> Iterator[tuple[Task, "Future[Result]"]]:
    """Futures as they finish, at most `limit` under way; hands out nothing new once the pool is broken."""
    running: dict[Future[Result], Task] = {}
    is_open = True
    while True:
        for task in islice(waiting, limit - len(running) if is_open else 0):
            try:
                running[pool.submit(function, task)] = task
            except BrokenProcessPool as error:
                is_open = False
                future: Future[Result] = Future()
                future.set_exception(error)
                yield task, future
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            is_open = is_open and not isinstance(future.exception(), BrokenProcessPool)
            yield running.pop(future), future


def _alone(function: Callable[[Task], Result], task: Task) -> Result | None:
    with _pool(1) as pool:
        try:
            return pool.submit(function, task).result()
        except BrokenProcessPool:
            return None
