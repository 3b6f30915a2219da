"""What Hydra and OmegaConf complain about, as one line."""

import contextlib
from collections.abc import Iterator

import yaml
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from gigmate.config.conf_files import yaml_fault
from gigmate.errors import GigmateError, UsageError, printable


@contextlib.contextmanager
def as_usage_errors(root: str) -> Iterator[None]:
    """Turn their exceptions into `UsageError`."""
    try:
        yield
    except GigmateError:
        raise
    except OverrideParseException as error:
        key, _, value = error.override.partition("=")
        remedy = f"""put the value in quotes: "{printable(key, 60)}='...'\""""
        raise UsageError("override", f"{printable(value, 80)!r} can't be read", key, remedy) from error
    except yaml.YAMLError as error:
        raise yaml_fault(error) from error
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise _fault(error, root) from error


def _fault(error: BaseException, root: str) -> UsageError:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    keys = [str(key) for each in chain if (key := getattr(each, "full_key", None))]
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if keys and any("not in struct" in str(each) for each in chain):
        what = "the chosen options have no such setting"
        return UsageError("unknown_key", what, keys[0], f"python {root}.py --cfg shows those that there are")
    return UsageError("config", first_line, keys[0] if keys else root, f"see python {root}.py --help")
