"""What a setting may be: small values that know their type, their range with two ends, and how to say it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The base of all rules.

    Args:
        help: what the setting is for, on one line; shown by `--help`.
        optional: whether null is a value.
        example: shown where the value is missing.
    """

    help: str = ""
    optional: bool = False
    example: str = ""

    def expected(self) -> str:
        """What is allowed, to read after "must be"."""
        raise NotImplementedError

    def accepts(self, value: object) -> bool:
        """Whether `value`, which isn't null, is allowed."""
        raise NotImplementedError

    def fault(self, value: object) -> str | None:
        """None for a good value, else what would have been one."""
        if value is None and self.optional:
            return None
        return None if value is not None and self.accepts(value) else self.describe()

    def describe(self) -> str:
        """What is allowed, null included."""
        return self.expected() + (" or null" if self.optional else "")


@dataclass(frozen=True)
class Int(Rule):
    """A whole number in low..high."""

    low: int
    high: int

    def expected(self) -> str:
        """See `Rule`."""
        return f"a whole number in {self.low}..{self.high}"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Float(Rule):
    """A finite number in low..high."""

    low: float
    high: float

    def expected(self) -> str:
        """See `Rule`."""
        return f"a number in {self.low:g}..{self.high:g}"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return math.isfinite(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Bool(Rule):
    """Yes or no."""

    def expected(self) -> str:
        """See `Rule`."""
        return "true or false"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Choice(Rule):
    """One of a few words."""

    options: tuple[str, ...]

    def expected(self) -> str:
        """See `Rule`."""
        return f"one of {', '.join(self.options)}"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, str) and value in self.options


@dataclass(frozen=True)
class Text(Rule):
    """A name or a path; on the command line it is taken as it stands, whatever characters it has."""

    what: str = "a text"
    max_length: int = 4096

    def expected(self) -> str:
        """See `Rule`."""
        return self.what

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, str) and 0 < len(value) <= self.max_length and "\0" not in value


@dataclass(frozen=True)
class Many(Rule):
    """A list of low..high values that each follow `item`."""

    item: Rule
    low: int
    high: int

    def expected(self) -> str:
        """See `Rule`."""
        count = f"{self.low}" if self.low == self.high else f"{self.low}..{self.high}"
        return f"a list of {count} values, each {self.item.describe()}"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, list | tuple) or not self.low <= len(value) <= self.high:
            return False
        return all(self.item.fault(element) is None for element in value)


@dataclass(frozen=True)
class Either(Rule):
    """What any of the rules allows."""

    rules: tuple[Rule, ...]

    def expected(self) -> str:
        """See `Rule`."""
        return " or ".join(rule.expected() for rule in self.rules)

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return any(rule.accepts(value) for rule in self.rules)


@dataclass(frozen=True)
class Target(Rule):
    """The registered name of an object that plays `role`; see `gigmate.config.registry`."""

    role: str

    def expected(self) -> str:
        """See `Rule`."""
        from gigmate.config.registry import names

        return f"one of {', '.join(names(self.role))}"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        from gigmate.config.registry import names

        return isinstance(value, str) and value in names(self.role)


@dataclass(frozen=True)
class Absent(Rule):
    """Null, in the place of a whole group of settings (make it `optional`)."""

    def expected(self) -> str:
        """See `Rule`."""
        return "a group of settings"

    def accepts(self, value: object) -> bool:
        """See `Rule`."""
        return False
