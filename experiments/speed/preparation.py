"""How fast songs become training data on one core: `python -m experiments.speed.preparation`.

Practice songs are composed and rendered, tokenized, analysed and written, one after the other in this process.
"""

import sys
import tempfile

from experiments.speed.figures import Cells, Figure
from experiments.speed.report import write
from gigmate.data.make import Job, Made, describe_config, make_song
from gigmate.data.sources import PracticeSource

_SONGS = PracticeSource(num_songs=7, first_seed=4_000_200, seconds=30.0)
_STAGES = {
    "source": "compose and render 5 stems",
    "codec": "tokenize 5 stems and their sum",
    "features": "features and activity",
    "write": "write",
}


def make_songs(folder: str) -> list[Made]:
    """All songs but the first, which fills caches."""
    job = Job(_SONGS, folder, "tokens", describe_config({"name": "compact"}), "cpu")
    return [make_song((job, entry)) for entry in _SONGS.entries()][1:]


def rows_of(made: list[Made]) -> list[Cells]:
    """A row per stage, in x real time: seconds of song per second of work, median and range over songs."""
    rows: list[Cells] = []
    for stage, name in (*_STAGES.items(), ("all", "all")):
        rates = [
            song.seconds["audio"]
            / (sum(song.seconds[each] for each in _STAGES) if stage == "all" else song.seconds[stage])
            for song in made
        ]
        rows.append({"stage": name, "x real time": Figure.over(rates, ".0f")})
    return rows


def main() -> None:
    """Measure, print and keep."""
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(make_songs(folder))
    sys.stdout.write(write("preparation", rows, threads=1, songs=_SONGS.num_songs - 1, seconds=_SONGS.seconds))


if __name__ == "__main__":
    main()
