"""The `--help` of a command: its docstring, its settings with what they take, the options of its config groups."""

from collections.abc import Iterator

from gigmate.config import conf_files
from gigmate.config.schema import ROOTS


def help_text(root: str, about: str) -> str:
    """The help of the command `root`.

    Args:
        root: the command.
        about: the docstring of its script: what it does, with examples.
    """
    flags = [
        "  -m        run once for every combination of the values, as in seed=1,2,3",
        "  --cfg     print the whole config that the command line makes, and leave",
        "  -h        this help",
    ]
    usage = f"usage: python {root}.py [-m] [--cfg] [-h] [SETTING=VALUE | GROUP=OPTION]..."
    parts = [about.strip(), usage, "\n".join(flags)]
    parts += [
        "settings:\n" + "\n".join(_settings(root)),
        "groups (GROUP=OPTION, the default first):\n" + "\n".join(_groups(root)),
    ]
    parts += [
        "Single values of a group can be given too: " + _example(root) + ".\n"
        "Exit codes: 0 done, 2 usage, 3 input data, 4 checkpoint, 5 machine, 6 training diverged, 1 a bug of ours."
    ]
    return "\n\n".join(parts) + "\n"


def _settings(root: str) -> Iterator[str]:
    for key, default in conf_files.root_config(root).items():
        if key not in ROOTS[root] or key in conf_files.groups(root):
            continue
        rule = ROOTS[root][key]
        shown = {"???": "required", "None": "null", "True": "true", "False": "false"}.get(str(default), str(default))
        yield f"  {key + '=' + shown:<28}{rule.help or key}"
        yield f"  {'':<28}{rule.describe()}"


def _groups(root: str) -> Iterator[str]:
    for group, default in conf_files.groups(root).items():
        others = [option for option in conf_files.options(group, root) if option != default]
        yield f"  {group + '=':<18}{' '.join([default or 'null', *others])}"


def _example(root: str) -> str:
    examples = (
        ("optimizer.lr", "optimizer.lr=3e-4"),
        ("sampler.temperature", "sampler.temperature=0.8"),
        ("device.threads", "device.threads=2"),
        ("codec.bandwidth_kbps", "codec=encodec_24khz codec.bandwidth_kbps=3"),
    )
    return ", ".join([example for key, example in examples if key in ROOTS[root]][:2])
