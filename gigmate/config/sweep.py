"""The runs that a multirun's overrides stand for, so that all can be judged before the first starts."""

import itertools
from collections.abc import Iterator, Sequence


def combinations(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of each run; of an interval the two ends, and groups matched by `glob` are left out.

    Raises:
        OverrideParseException: Hydra can't read one of them.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob, IntervalSweep, Override

    def values(override: Override) -> list[str]:
        key = override.get_key_element()
        if not override.is_sweep_override():
            return [override.input_line or ""]
        swept = override.value()
        if isinstance(swept, IntervalSweep):
            return [f"{key}={swept.start}", f"{key}={swept.end}"]
        if isinstance(swept, Glob):
            return []
        return [f"{key}={value}" for value in override.sweep_string_iterator()]

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    lists = [values(override) for override in parsed if not override.get_key_element().startswith("hydra")]
    return (list(job) for job in itertools.product(*(each for each in lists if each)))
