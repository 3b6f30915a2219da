"""What the root scripts share: command line in, exit code out, one line for whatever a person can act on.

argv ─ overrides.parse ─ Hydra composes conf/ ─ settings.check ─ target(config) ─ exit code
            └────────────── refused here: nothing has been created ──────┘
"""

import contextlib
import errno
import importlib
import itertools
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigmate.errors import GigmateError, MachineError, UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_log = logging.getLogger(__name__)

EXIT_BUG = 1
EXIT_PIPE = 128 + signal.SIGPIPE
EXIT_INTERRUPT = 128 + signal.SIGINT

_MACHINE_ERRNOS = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENOTDIR,
    )
)
_MAX_CHECKED_JOBS = 64
_HYDRA_QUIET = (
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
    "hydra.job.chdir=false",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.sweep.dir=${paths.run_dir}",
    "hydra.sweep.subdir=${hydra.job.num}",
)


@dataclass(frozen=True)
class Command:
    """A root script: call it to run with the command line and leave the process.

    Args:
        root: its config, a file in `conf/`.
        target: `module:function` that takes the checked config; imported when everything else is in order.
        about: the script's docstring, which begins its help.
    """

    root: str
    target: str
    about: str = ""

    def __call__(self, argv: Sequence[str] | None = None) -> None:
        """Run and leave with the exit code of RELIABILITY's table."""
        sys.exit(self.run(sys.argv[1:] if argv is None else argv))

    def run(self, argv: Sequence[str]) -> int:
        """Run; returns the exit code. Nothing escapes."""
        return guarded(lambda: self._run(argv))

    def _run(self, argv: Sequence[str]) -> None:
        from gigmate.config import conf_files, overrides

        request = overrides.parse(argv, self.root)
        if request.wants_help:
            from gigmate.config.help_text import help_text

            _say(help_text(self.root, self.about))
            return
        conf_files.guard()
        _start_logging()
        job = Job(self.root, self.target)
        if request.is_multirun and not request.wants_config:
            _check_jobs(self.root, request.overrides)
            _multirun(job, request.overrides)
            return
        with _composer(self.root) as compose:
            config = compose(request.overrides)
        if request.wants_config:
            from omegaconf import OmegaConf

            _say(OmegaConf.to_yaml(OmegaConf.create(_checked(config, self.root))))
            return
        result = job.start(config)
        if isinstance(result, Path):
            _say(f"{result}\n")


def guarded(action: Callable[[], object]) -> int:
    """Do it; returns the exit code of RELIABILITY's table, having said on stderr what went wrong."""
    try:
        action()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else EXIT_BUG
    except Exception as error:
        return _report(error)
    return 0


def command(root: str, target: str, about: str | None = "") -> Command:
    """The entry point of a root script.

    Args:
        root: name of its config in `conf/`.
        target: `module:function`, called with the checked config.
        about: `__doc__` of the script.
    """
    return Command(root, target, about or "")


@dataclass(frozen=True)
class Job:
    """One run of a target; plain values, so that launchers can send it to other processes."""

    root: str
    target: str

    def __call__(self, config: "DictConfig") -> Any:
        """A job of a multirun: as `start`, in a folder of its own under `paths.run_dir`."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import open_dict

        hydra = HydraConfig.get()
        _log.info("job %s: %s", hydra.job.num, " ".join(hydra.overrides.task))
        with open_dict(config):
            config.paths.run_dir = hydra.runtime.output_dir
        return self.start(config)

    def start(self, config: "DictConfig") -> Any:
        """Check `config`, then call the target with it.

        Raises:
            UsageError: the config doesn't pass.
        """
        from omegaconf import OmegaConf

        _checked(config, self.root)
        OmegaConf.resolve(config)
        OmegaConf.set_readonly(config, True)
        module, _, function = self.target.partition(":")
        run: Callable[[DictConfig], Any] = getattr(importlib.import_module(module), function)
        return run(config)


def _checked(config: "DictConfig", root: str) -> dict[str, Any]:
    from gigmate.config import settings

    return settings.check(config, root)


@contextlib.contextmanager
def _composer(root: str) -> Iterator[Callable[[Sequence[str]], "DictConfig"]]:
    """A function that turns overrides into a config, with Hydra's complaints as one line."""
    from hydra import compose, initialize_config_dir

    from gigmate.config.conf_files import CONF
    from gigmate.config.hydra_faults import as_usage_errors

    with initialize_config_dir(str(CONF), version_base="1.3", job_name=root), as_usage_errors(root):
        yield lambda overrides: compose(root, list(overrides))


def _check_jobs(root: str, overrides: Sequence[str]) -> None:
    """Judge the jobs of a multirun (the first of very many) before the first one starts."""
    from gigmate.config.hydra_faults import as_usage_errors
    from gigmate.config.sweep import combinations

    with as_usage_errors(root):
        jobs = list(itertools.islice(combinations(overrides), _MAX_CHECKED_JOBS))
    with _composer(root) as compose:
        for job in jobs:
            _checked(compose(job), root)


def _multirun(job: Job, overrides: Sequence[str]) -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from gigmate.config.conf_files import CONF

    with initialize_config_dir(str(CONF), version_base="1.3", job_name=job.root):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.multirun(job.root, job, [*_HYDRA_QUIET, *overrides], with_log_configuration=False)


def _say(text: str) -> None:
    if sys.stdout is not None:
        sys.stdout.write(text)


def _drop_stdout() -> None:
    """Nobody reads stdout any more: keep the interpreter from flushing into it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _start_logging() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("gigmate").setLevel(logging.INFO)


def _as_ours(error: Exception) -> GigmateError | None:
    """What a person can act on in an error that isn't ours; None: a bug."""
    if isinstance(error, GigmateError):
        return error
    if isinstance(error, RecursionError):
        return UsageError("setting", "nested too deep", "config", "use the documented settings")
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRNOS:
        return MachineError("os", error.strerror or str(error), error.filename or "", "make room or give permission")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MachineError("memory", "not enough memory", "", "take a smaller model, batch or window")
    return None


def _report(error: Exception) -> int:
    ours = _as_ours(error)
    if ours is None or os.environ.get("GIGMATE_DEBUG") == "1":
        traceback.print_exception(error)
    line, code = (str(ours), ours.exit_code) if ours else (f"error[GM-bug]: {error!r}; please report this", EXIT_BUG)
    if sys.stderr is not None:
        sys.stderr.write(line + "\n")
    return code
