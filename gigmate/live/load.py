"""Several sessions of the reference client against one server, and how they went as a table."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import GigmateError
from gigmate.live.client_outcome import Outcome
from gigmate.live.client_session import ClientSession
from gigmate.live.messages import Hello

_SPREAD_S = 0.37  # between the starts of sessions: no multiple of a frame


async def play_all(
    url: str, hello: Hello, song: NDArray[np.float32], num_sessions: int, *, token: str | None = None
) -> list[Outcome]:
    """Play `song` [N] in several sessions that start a moment apart; each sends at its pace whatever the others do.

    Raises:
        GigmateError: not one session could begin.
    """
    faults: list[GigmateError] = []

    async def one(number: int) -> Outcome:
        await asyncio.sleep(number * _SPREAD_S)
        session = ClientSession(url, hello, song, token=token)
        try:
            return await session.run()
        except GigmateError as error:
            faults.append(error)
            session.outcome.reason = error.what
            return session.outcome

    outcomes = await asyncio.gather(*(one(number) for number in range(num_sessions)))
    if len(faults) == num_sessions:
        raise faults[0]
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each session."""
    lines = [
        "session  in time  late ms  underruns  slack p50/p05 ms  rtt p50/p95 ms  step p50/p95 ms  lookahead ms"
        "  staleness ms  closed"
    ]
    for number, outcome in enumerate(outcomes):
        f = outcome.figures()
        lines.append(
            f"{number:7d}  {100 * f.in_time:6.2f}%  {f.late_ms:7.0f}  {f.underruns:9d}"
            f"  {f.slack_p50_ms:8.0f} /{f.slack_p05_ms:6.0f}  {f.rtt_p50_ms:7.1f} /{f.rtt_p95_ms:5.1f}"
            f"  {f.step_p50_ms:8.1f} /{f.step_p95_ms:5.1f}  {f.lookahead_ms:12.0f}"
            f"  {f.staleness_ms:12.0f}  {f.close_code} {f.reason}"
        )
    shares = [outcome.figures().late_share for outcome in outcomes]
    late = "  ".join(f"{ms} ms: {100 * np.mean([share[ms] for share in shares]):.2f}%" for ms in shares[0])
    return "\n".join([*lines, f"late messages if needed so long before they are due: {late}"])
