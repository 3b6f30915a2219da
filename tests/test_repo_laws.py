"""Rules of the repository, read off its sources: who may import whom, and what no module does."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reporting import Report

REPO = Path(__file__).parent.parent
SOURCES = {
    ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((REPO / "gigmate").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}

PARTS = {
    "base": ("shapes", "errors", "pitch", "stopwatch", "tracing"),
    "files": ("files",),
    "audio": ("audio",),
    "archive": ("archive",),
    "device": ("device",),
    "registry": ("config.registry",),
    "command": ("config",),
    "codec": ("codec",),
    "music": ("music",),
    "model": ("model",),
    "generation": ("generation",),
    "data": ("data",),
    "checkpoint": ("checkpoint",),
    "training": ("training",),
    "accompanist": (
        "accompanist",
        "chord_judge",
        "continuation",
        "fader",
        "joint",
        "offline",
        "performance",
        "rehearsal",
    ),
    "evaluation": ("evaluation",),
    "demo": ("demo",),
    "live": ("live",),
    "play": ("play",),
}
"""A part is a package, or modules of that name; the first part that fits a module is its own."""

_LOW = {"base", "files"}
MAY_IMPORT: dict[str, set[str]] = {
    "base": set(),
    "files": {"base"},
    "audio": _LOW,
    "archive": _LOW | {"audio"},
    "device": {"base"},
    "registry": {"base"},
    "command": {"base", "registry", "music"},
    "codec": _LOW | {"audio", "device"},
    "music": _LOW | {"audio"},
    "model": {"base"},
    "generation": {"base", "model", "music"},
    "data": _LOW | {"audio", "music", "codec", "device", "registry"},
    "checkpoint": _LOW | {"model", "codec"},
    "training": _LOW
    | {"audio", "codec", "model", "generation", "data", "checkpoint", "evaluation", "device", "registry"},
    "accompanist": _LOW | {"audio", "codec", "music", "model", "generation", "checkpoint", "device", "registry"},
    "evaluation": _LOW
    | {"audio", "codec", "music", "model", "generation", "data", "checkpoint", "accompanist", "device", "registry"},
    "demo": _LOW | {"accompanist", "audio", "music", "evaluation", "command"},
    "live": _LOW
    | {"accompanist", "audio", "codec", "music", "model", "generation", "checkpoint", "device", "registry"},
    "play": _LOW
    | {"accompanist", "audio", "codec", "music", "model", "generation", "checkpoint", "device", "registry", "live"},
}

ONLY_IN = {
    "encodec": ("gigmate.codec.encodec",),
    "transformers": ("gigmate.codec.hub", "gigmate.codec.hub_weights", "gigmate.codec.mimi"),
    "lightning": ("gigmate.training", "gigmate.data.module"),
    "hydra": ("gigmate.config.cli", "gigmate.config.hydra_faults", "gigmate.config.overrides", "gigmate.config.sweep"),
    "soundfile": ("gigmate.audio.child", "gigmate.audio.write"),
    "soxr": ("gigmate.audio",),
    "symusic": ("gigmate.music",),
    "fastapi": ("gigmate.live.server",),
    "wandb": ("gigmate.training.loggers",),
    "mido": ("gigmate.play",),
    "sounddevice": ("gigmate.play",),
    "pretty_midi": (),
}
"""Libraries that stay behind one door: replacing or leaving one out concerns that place alone."""

MAX_LINES, LONG_LINES, MAX_FUNCTION_LINES = 330, 250, 60


def imports(tree: ast.AST) -> Iterator[str]:
    """Names that a module imports: of `from a.b import c` both `a.b` and `a.b.c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str | None:
    """The part that a module of ours belongs to; None for the package itself."""
    inner = module.removeprefix("gigmate").removeprefix(".")
    for part, names in PARTS.items():
        if any(inner == name or inner.startswith(f"{name}.") for name in names):
            return part
    return None


def edges(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """(module, module of ours that it imports)."""
    for name, tree in trees.items():
        for imported in imports(tree):
            if imported.startswith("gigmate.") and imported in SOURCES:
                yield name, imported


def stray_edges(trees: dict[str, ast.Module]) -> list[str]:
    """Imports that the layers forbid."""
    stray = []
    for name, imported in edges(trees):
        source, target = part_of(name), part_of(imported)
        if source and target and target != source and target not in MAY_IMPORT[source]:
            stray.append(f"{name} imports {imported}")
    return stray


def test_every_module_belongs_to_a_part() -> None:
    assert [name for name in SOURCES if name != "gigmate" and part_of(name) is None] == []


def test_imports_follow_the_layers() -> None:
    assert stray_edges(TREES) == []


def test_layers_have_no_cycle() -> None:
    def below(part: str, path: tuple[str, ...]) -> None:
        assert part not in path, " -> ".join((*path, part))
        for lower in MAY_IMPORT[part]:
            below(lower, (*path, part))

    for part in PARTS:
        below(part, ())


def test_a_stray_import_is_seen() -> None:
    for text in (
        "import gigmate.training.run",
        "from gigmate.training import run",
        "def f():\n    from gigmate.training.run import train",
    ):
        assert stray_edges({"gigmate.model.lm": ast.parse(text)}), text


def test_checkpoints_and_data_know_codecs_by_their_facts() -> None:
    """Only what makes data runs a codec; reading it needs `codec.base` and the size of the features."""
    makers = ("gigmate.data.prepare", "gigmate.data.make", "gigmate.data.encode")
    readers = [name for name in SOURCES if part_of(name) in ("data", "checkpoint") and name not in makers]
    allowed = {"gigmate.codec", "gigmate.codec.base", "gigmate.codec.features"}
    stray = [
        f"{name} imports {imported}"
        for name, imported in edges({name: TREES[name] for name in readers})
        if imported.startswith("gigmate.codec") and imported not in allowed
    ]
    assert stray == []


def test_training_takes_metrics_alone_from_evaluation() -> None:
    stray = {
        (name, imported)
        for name, imported in edges(TREES)
        if part_of(name) == "training" and part_of(imported) == "evaluation"
    }
    assert {imported for _, imported in stray} <= {"gigmate.evaluation", "gigmate.evaluation.metrics"}


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_behind_one_door(library: str) -> None:
    homes = ONLY_IN[library]
    stray = [
        name
        for name, tree in TREES.items()
        if library in {imported.split(".")[0] for imported in imports(tree)}
        and not any(name == home or name.startswith(f"{home}.") for home in homes)
    ]
    assert stray == []


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Dotted names that are called, as they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_torch_load_is_in_one_module_and_always_safe(report: Report) -> None:
    users = [name for name, tree in TREES.items() for called, _ in calls(tree) if called == "torch.load"]
    report("p01_torch_load_modules", len(set(users)))
    assert set(users) == {"gigmate.files.ckpt_file"}
    for name, tree in TREES.items():
        for called, node in calls(tree):
            for keyword in node.keywords:
                if keyword.arg == "weights_only":
                    assert ast.unparse(keyword.value) == "True", f"{name}: {called}"
            if called == "torch.load":
                assert any(keyword.arg == "weights_only" for keyword in node.keywords), name


def test_nothing_is_unpickled_evaluated_or_run_in_a_shell() -> None:
    banned = ("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open")
    banned += ("joblib.load", "dill.load", "eval", "exec", "os.system", "os.popen", "hydra.utils.instantiate")
    banned += ("yaml.load", "yaml.unsafe_load", "torchaudio.load", "torchaudio.save", "instantiate")
    for name, tree in TREES.items():
        for called, node in calls(tree):
            assert called not in banned, f"{name}:{node.lineno} calls {called}"
            arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert arguments.get("shell", "False") == "False", f"{name}:{node.lineno}"
            assert arguments.get("allow_pickle", "False") == "False", f"{name}:{node.lineno}"
            assert arguments.get("trust_remote_code", "False") == "False", f"{name}:{node.lineno}"
            assert called != "np.load" or arguments.get("allow_pickle") == "False", f"{name}:{node.lineno}"


def test_the_package_logs_and_does_not_print() -> None:
    assert [name for name, tree in TREES.items() for called, _ in calls(tree) if called == "print"] == []


def test_devices_are_named_in_one_place() -> None:
    """`cpu` may be a default; which accelerators there are is known to `device.py` and to the list of options alone."""
    for name, tree in TREES.items():
        if name in ("gigmate.device", "gigmate.config.schema"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                assert node.value not in ("cuda", "mps", "cuda:0"), f"{name}:{node.lineno}"
            elif isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in ("torch.cuda", "torch.backends.mps"), f"{name}:{node.lineno}"


def test_importing_does_no_work() -> None:
    """At module level: definitions, constants and imports; no loops, no calls for their effect."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    allowed += (ast.Assign, ast.AnnAssign)
    for name, tree in TREES.items():
        for node in tree.body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in (
                "TYPE_CHECKING",
                "__name__ == '__main__'",
            )
            assert is_text or is_guard or isinstance(node, allowed), f"{name}:{node.lineno}"


CHANGING = ("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear")


def changed_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that something in a module changes in place, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield ast.unparse(node.value), node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            yield ast.unparse(node.func.value), node.lineno
        elif isinstance(node, ast.AugAssign):
            yield ast.unparse(node.target), node.lineno


def test_modules_hold_no_mutable_state() -> None:
    """Lists and dicts at module level are constants: named so, never rebound, never changed in place."""
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for name, tree in TREES.items():
        constants = set()
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, mutable):
                target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
                assert target.strip("_").isupper() or target == "__all__", f"{name}:{node.lineno}"
                constants.add(target)
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name
        changed = [f"{name}:{line}" for constant, line in changed_names(tree) if constant in constants]
        assert changed == []


def test_files_and_functions_can_be_held_in_the_head() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in SOURCES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
    assert statistics.median(lengths.values()) <= 150
    assert sum(lines > LONG_LINES for lines in lengths.values()) <= 0.05 * len(lengths)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= MAX_FUNCTION_LINES, f"{name}.{node.name}: {lines} lines"


def test_no_module_is_a_grab_bag() -> None:
    for name in SOURCES:
        assert not {"utils", "util", "helpers", "misc", "common"} & set(name.split(".")), name


def test_root_scripts_are_a_call() -> None:
    for script in sorted(REPO.glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), script
        assert set(imports(tree)) == {"gigmate.config.cli", "gigmate.config.cli.command"}, script
        assert len(tree.body) == 4, script


def test_root_scripts_lead_to_what_exists() -> None:
    for script in sorted(REPO.glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        root, target = next(node for called, node in calls(tree) if called == "command").args[:2]
        assert isinstance(root, ast.Constant)
        assert isinstance(target, ast.Constant)
        assert root.value == script.stem
        module, _, function = str(target.value).partition(":")
        assert function in {node.name for node in TREES[module].body if isinstance(node, ast.FunctionDef)}, script


def text_files() -> Iterator[tuple[Path, str]]:
    """What git knows, or would with the next `add`; weights and pictures, which have zero bytes, are left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPO, capture_output=True, check=True, text=True).stdout
    for path in (REPO / name for name in listed.split("\0") if name):
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content[:8192]:
            yield path, content.decode("utf-8", errors="replace")


@pytest.mark.skipif(not (REPO / ".git").exists(), reason="not a git checkout: nobody knows which files are ours")
def test_nothing_names_a_machine_of_ours() -> None:
    """Paths of the machine this was built on, and addresses of package registries, stay out of the repository."""
    folders = "|".join(("work", "root", "home", "tmp/gm"))  # apart, so that this file doesn't match
    hosts = "|".join(("pypi", "pythonhosted", "conda", "npmjs"))
    banned = re.compile(
        rf"/(?:{folders})/|(?:{hosts})\.(?:org|com)\b|://\S+/{'simple'}\b|-(?:-index|-extra-index|-find)-(?:url|links)\b"
    )
    for planted in ("/ho" + "me/me/x", "/wo" + "rk/x", "https:" + "//x.y/simp" + "le", "-" + "-index-url x"):
        assert banned.search(planted), planted
    texts = dict(text_files())
    assert len(texts) > 200
    named = {path: match[0] for path, text in texts.items() if (match := banned.search(text))}
    assert named == {}
