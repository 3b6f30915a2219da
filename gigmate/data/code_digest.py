"""Which code makes a song: what was made by other code is made anew."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_MUSIC = "gigmate.music"


@functools.cache
def code_digest(*modules: str) -> str:
    """Hex digest of the sources of modules of `gigmate.music`, and of all of that package which they import.

    What a song sounds like is decided there; how it becomes a shard is the recipe's affair.

    Args:
        modules: dotted names.
    """
    digest = hashlib.sha256()
    for name, content in sorted(sources_of(modules).items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def sources_of(modules: tuple[str, ...], package: Path = _PACKAGE) -> dict[str, bytes]:
    """What `code_digest` is of, by name: the modules, all that they import, and the packages that these lie in.

    Args:
        modules: dotted names.
        package: folder of `gigmate`.
    """
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = package.joinpath(*name.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not f"{name}.".startswith(f"{_MUSIC}.") or not path.is_file():
            continue
        found[name] = path.read_bytes()
        waiting += [name.rpartition(".")[0], *_imports(ast.parse(found[name]))]
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    """Names that may be modules: of `from a.b import c` both `a.b` and `a.b.c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
