"""Is what is played there in time over a network? `python -m experiments.live_network --out FOLDER`.

The real server with the weights that ship, behind the seeded proxy of `gigmate.live.network_proxy`; one session of the
reference client at a time. Over each network three are played:

    as far ahead as can be: how long each message took tells what would have been in time with less lookahead
    as the scheduler picks: is late what comes less than the playback buffer before it is due, 10 s after the start
    the same, and in the middle every round trip gets 150 ms longer: how long until the last late message
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.live_server import RATE, free_port, live_url, machine, practice_song, serving
from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes
from gigmate.live.client_outcome import Outcome
from gigmate.live.client_session import ClientSession
from gigmate.live.messages import Hello
from gigmate.live.network_proxy import PROFILES, NetworkProxy
from gigmate.live.protocol import VERSION

LOOKAHEADS_MS = (60, 100, 200, 300, 500, 800)
NETWORKS = ("lan", "broadband", "wifi", "lte")
BUFFER_MS, MOST_AHEAD_MS, STEP_MS = 60, 1000, 150
LEARNT_S = 10.0
BEATS_PER_BAR = 4


@dataclass(frozen=True)
class Result:
    """What came of a network.

    Args:
        network: its name.
        in_time: share of the messages by lookahead in ms.
        late_share: of the messages at the lookahead that was picked, once the path was known.
        late_at_first: of those before.
        plans: lookahead in ms and bars that were picked, one after the other.
        bars_to_recover: from the step of the round trip to the last late message.
        step_plans: the plans of the session with the step.
    """

    network: str
    in_time: dict[int, float]
    late_share: float
    late_at_first: float
    plans: tuple[tuple[float, int], ...]
    bars_to_recover: float
    step_plans: tuple[tuple[float, int], ...]


class Networks:
    """Plays over networks.

    Args:
        port: of the server.
        own_port: of the networks, under which the server is known too.
        seconds: of each session.
        seed: of the delays.
    """

    def __init__(self, port: int, own_port: int, seconds: float, seed: int) -> None:
        self._port, self._own_port, self._seconds, self._seed = port, own_port, seconds, seed
        self._song, self._bpm = practice_song(seconds)

    async def measure(self, network: str) -> Result:
        """The three sessions, one after the other: what is sent at the same second meets the same delay."""
        most = await self._play(network, -MOST_AHEAD_MS)
        picked = await self._play(network, None)
        step_at_s: list[float] = []

        async def lengthen(proxy: NetworkProxy, outcome: Outcome) -> None:
            await asyncio.sleep(self._seconds / 2)
            proxy.add_delay(STEP_MS)
            step_at_s.append(outcome.num_sent / RATE)

        stepped = await self._play(network, None, lengthen)
        slack_s, due_s = _slacks(picked)
        known = due_s >= LEARNT_S
        ahead_ms = 1000 * _slacks(most)[0] - BUFFER_MS
        return Result(
            network=network,
            in_time={ms: float(np.mean(ahead_ms >= MOST_AHEAD_MS - ms)) for ms in LOOKAHEADS_MS},
            late_share=float(np.mean(slack_s[known] < BUFFER_MS / 1000)),
            late_at_first=float(np.mean(slack_s[~known] < BUFFER_MS / 1000)),
            plans=_told(picked),
            bars_to_recover=self._bars_late(stepped, step_at_s[0]),
            step_plans=_told(stepped),
        )

    async def _play(
        self,
        network: str,
        lookahead_ms: int | None,
        meanwhile: Callable[[NetworkProxy, Outcome], Awaitable[None]] | None = None,
    ) -> Outcome:
        hello = Hello(
            version=VERSION,
            sample_rate=RATE,
            instrument="drums",
            lookahead_ms=lookahead_ms,
            buffer_ms=BUFFER_MS,
        )
        async with NetworkProxy(self._port, PROFILES[network], seed=self._seed, own_port=self._own_port) as proxy:
            session = ClientSession(live_url(proxy.port), hello, self._song)
            acting = asyncio.ensure_future(meanwhile(proxy, session.outcome)) if meanwhile else None
            outcome = await session.run()
            if acting is not None:
                await acting
        sys.stderr.write(f"{network}: plans {_told(outcome)}, closed with {outcome.close_code}\n")
        return outcome

    def _bars_late(self, outcome: Outcome, step_s: float) -> float:
        slack_s, due_s = _slacks(outcome)
        late_s = due_s[(slack_s < BUFFER_MS / 1000) & (due_s > step_s)]
        return float(late_s.max() - step_s) * self._bpm / 60 / BEATS_PER_BAR if len(late_s) else 0.0


def _told(outcome: Outcome) -> tuple[tuple[float, int], ...]:
    """Lookahead in ms and bars of the plans."""
    return tuple((plan.lookahead_ms, plan.bars) for plan in outcome.plans)


def _slacks(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Slack and due time of the messages, in seconds; not of the opening, which is made before the song begins."""
    slack_s, due_s = np.array(outcome.slack_s), np.array(outcome.starts) / RATE
    heard = due_s >= max(-plan.lookahead_ms for plan in outcome.plans) / 1000
    return slack_s[heard], due_s[heard]


def row(result: Result) -> Row:
    """A network's line in the table."""
    ahead = {f"in time {ms} ms ahead": f"{100 * share:.2f} %" for ms, share in result.in_time.items()}
    ahead_ms = [-ms for ms, bars in result.plans if not bars]
    picked = f"{min(ahead_ms):.0f}, {np.median(ahead_ms):.0f}, {max(ahead_ms):.0f}" if ahead_ms else "bars alone"
    return {
        "network": result.network,
        **ahead,
        "picked, ms ahead (least, median, most)": picked,
        "plans, of them in bars": f"{len(result.plans)}, {len(result.plans) - len(ahead_ms)}",
        "late at it": f"{100 * result.late_share:.3f} %",
        f"late in the first {LEARNT_S:.0f} s": f"{100 * result.late_at_first:.2f} %",
        f"bars until in time after +{STEP_MS} ms": f"{result.bars_to_recover:.2f}",
    }


async def measure_all(networks: Networks, names: Sequence[str]) -> list[Result]:
    """The networks in turn."""
    return [await networks.measure(name) for name in names]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for network.md and network.json")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each session")
    parser.add_argument("--seed", type=int, default=0, help="of the networks' delays")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    args = parser.parse_args()
    own_port = free_port()
    with TemporaryDirectory() as folder, serving(Path(folder), capacity=1, other_port=own_port) as server:
        networks = Networks(server.port, own_port, args.seconds, args.seed)
        results = asyncio.run(measure_all(networks, args.networks))
    facts = f"Sessions of {args.seconds:g} s, seed {args.seed}, a playback buffer of {BUFFER_MS} ms. {machine()}."
    about = {"seconds": args.seconds, "seed": args.seed, "machine": machine(), "networks": [vars(r) for r in results]}
    args.out.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out / "network.json", json.dumps(about, indent=1).encode())
    text = f"{markdown([row(result) for result in results])}\n{facts}\n"
    write_bytes(args.out / "network.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
