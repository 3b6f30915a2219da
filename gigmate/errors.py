"""Errors that a user can act on: what was wrong, where, and what to do; each knows its exit code.

The command line prints such an error as one line, `error[GM-code]: what; where; what to do`, and exits with the code of
its class. Anything else that escapes is a bug of ours (exit 1, with a traceback).
"""


def printable(text: object, limit: int = 300) -> str:
    """`text` on one line with control characters escaped, cut at `limit` characters: safe for logs and terminals."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


class GigmateError(Exception):
    """An error that a person can act on.

    Args:
        code: short stable name of the case, for instance `truncated`; printed as `GM-truncated`.
        what: the value given and what was expected.
        where: file, config key or frame that it concerns.
        remedy: what to do about it.
    """

    exit_code = 1

    def __init__(self, code: str, what: str, where: object = "", remedy: str = "") -> None:
        self.code, self.what, self.where, self.remedy = code, what, str(where), remedy
        super().__init__(code, what, self.where, remedy)

    def __str__(self) -> str:
        parts = [self.what, self.where, self.remedy]
        return f"error[GM-{self.code}]: " + "; ".join(printable(p, 600) for p in parts if p)


class UsageError(GigmateError):
    """A command, option or config that makes no sense."""

    exit_code = 2


class InputError(GigmateError):
    """Input data (audio, MIDI, archive, data set) that can't be used."""

    exit_code = 3


class CheckpointError(GigmateError):
    """A checkpoint or a set of weights that is refused."""

    exit_code = 4


class MachineError(GigmateError):
    """Something the machine lacks: disk, device, memory, permission, network."""

    exit_code = 5


class DivergedError(GigmateError):
    """Training that left the finite numbers."""

    exit_code = 6
