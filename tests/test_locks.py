"""Installs come from hashed locks that fit pyproject; known-bad versions can't be resolved (RELIABILITY P0 24)."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from reporting import Report

REPO = Path(__file__).parent.parent
LOCKS = {path.stem: path for path in sorted((REPO / "locks").glob("*.txt"))}
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DEV_TOOLS = {"pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "pyright", "pre-commit", "nbclient"}
DEV_TOOLS |= {"ipykernel", "tensorboard", "transformers", "hydra-optuna-sweeper", "uv", "pip"}
NOT_LOCKED = {"midi"}  # no wheels for every Python: who wants it has pip build it
PYTHONS = ("3.11", "3.12", "3.13")


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Of a lock: each requirement with its hashes."""
    text = LOCKS[lock].read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        requirement, *hashes = line.split("--hash=")
        found.append((Requirement(requirement.strip()), [one.strip() for one in hashes]))
    return found


def versions(lock: str) -> dict[str, set[str]]:
    """Of a lock: canonical name -> version of each platform and Python, with its marker."""
    found: dict[str, set[str]] = {}
    for requirement, _ in entries(lock):
        found.setdefault(canonicalize_name(requirement.name), set()).add(
            f"{requirement.specifier};{requirement.marker}"
        )
    return found


def pinned(lock: str, name: str, python: str) -> list[str]:
    """The versions of a package that a lock installs for a Python on 64-bit Linux; one, or none."""
    environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    environment |= {"platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
    return [
        next(iter(requirement.specifier)).version
        for requirement, _ in entries(lock)
        if canonicalize_name(requirement.name) == canonicalize_name(name)
        and (requirement.marker is None or requirement.marker.evaluate(environment))
    ]


def wanted(*extras: str) -> list[Requirement]:
    """What pyproject asks for, its own extras resolved."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != PROJECT["name"]]


def floor(name: str) -> Requirement:
    """The one requirement of pyproject on a package."""
    (found,) = [requirement for requirement in wanted(*EXTRAS) if requirement.name == name]
    return found


def test_there_are_the_locks_that_the_makefile_installs() -> None:
    assert set(LOCKS) == {"core", "dev", "uv"}
    installed = re.findall(r"--require-hashes -r locks/(\w+)\.txt", (REPO / "Makefile").read_text(encoding="utf-8"))
    assert sorted(installed) == ["core", "dev", "uv"]
    assert [requirement.name for requirement, _ in entries("uv")] == ["uv"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock: str, report: Report) -> None:
    loose = []
    for requirement, hashes in entries(lock):
        (pin,) = requirement.specifier
        is_exact = pin.operator == "==" and "*" not in pin.version and requirement.url is None
        if not (is_exact and hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)):
            loose.append(str(requirement))
    report("p24_requirements_without_pin_or_hash", len(loose))
    report(f"p24_requirements_{lock}", len(entries(lock)))
    assert loose == []
    assert entries(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = LOCKS[lock].read_text(encoding="utf-8")
    assert "://" not in text
    assert set(re.findall(r"(?<!\S)-{1,2}[a-z][\w-]*", text)) == {"--hash"}


def test_core_is_a_part_of_dev_with_the_same_versions() -> None:
    core, dev = versions("core"), versions("dev")
    assert {name: (pins, dev.get(name)) for name, pins in core.items() if pins != dev.get(name)} == {}


def test_core_holds_no_tool_of_developers() -> None:
    assert set(EXTRAS) == {"codecs", "sweep", "live", "logging", "midi", "notebook", "player", "dev"}
    others = [lines for name, lines in EXTRAS.items() if name != "live"]
    extra = {canonicalize_name(Requirement(line).name) for lines in others for line in lines}
    core = versions("core").keys()
    assert core & ((extra - {"gigmate"}) | DEV_TOOLS) == set()
    assert {"torch", "hydra-core", "wandb"} <= core


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("lock", "extras"), [("core", ("live",)), ("dev", tuple(EXTRAS.keys() - NOT_LOCKED))])
def test_locks_give_what_pyproject_asks_for(lock: str, extras: tuple[str, ...], python: str) -> None:
    for requirement in wanted(*extras):
        found = pinned(lock, requirement.name, python)
        assert len(found) == 1, f"{requirement.name} in locks/{lock}.txt: {found}; `make lock` renews it"
        assert requirement.specifier.contains(found[0]), f"{requirement}, locked {found[0]}"


def test_no_package_is_locked_twice_for_one_python() -> None:
    for lock in LOCKS:
        for name in versions(lock):
            for python in PYTHONS:
                assert len(pinned(lock, name, python)) <= 1, (lock, name, python)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("lightning", ["2.6.2", "2.6.3", "2.6.4", "2.6.5", "2.5.0"], ["2.6.6"]),
        ("hydra-core", ["1.3.2", "1.3.3", "1.3.7", "1.4.0rc3"], ["1.3.8"]),
        ("torch", ["2.5.1", "2.9.1", "2.10.0", "2.12.0"], ["2.11.0", "2.11.1"]),
        ("soundfile", ["0.12.1", "0.13.1"], ["0.14.0"]),
        ("safetensors", ["0.4.5", "0.7.0"], ["0.8.0"]),
        ("transformers", ["4.57.0", "5.2.0"], ["5.23.0"]),
    ],
)
def test_versions_known_to_be_bad_cannot_be_resolved(name: str, bad: list[str], good: list[str]) -> None:
    specifier = floor(name).specifier
    assert [version for version in bad if specifier.contains(version, prereleases=True)] == []
    assert [version for version in good if not specifier.contains(version)] == []


def test_the_releases_that_stole_credentials_are_banned_by_name() -> None:
    """However the floor moves."""
    bans = {str(part) for part in floor("lightning").specifier}
    assert {"!=2.6.2", "!=2.6.3"} <= bans
