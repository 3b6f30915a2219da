"""The figures that tests report: nothing is lost between processes, lanes or names."""

import json
from pathlib import Path

import pytest
from reporting import Report, keep, merged


def test_a_name_reported_by_many_cases_and_workers_keeps_its_worst(tmp_path: Path) -> None:
    one, two = Report(tmp_path / "1"), Report(tmp_path / "2")
    one("seconds", 0.25, "s")
    two("seconds", 0.5, "s")
    one("seconds", 0.1, "s")
    two("device", "cpu")
    found = {name: (f["value"], f["unit"], f["reports"]) for name, f in merged(sorted(tmp_path.iterdir())).items()}
    assert found == {"seconds": (0.5, "s", 3), "device": ("cpu", "", 1)}


def test_figures_of_another_lane_stay_and_those_of_this_one_are_renewed(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "reliability.json"
    keep({"b": {"value": 2}, "c": {"value": 3}}, path)
    keep({"b": {"value": 1}, "a": {"value": 0}}, path)
    assert json.loads(path.read_text()) == {"a": {"value": 0}, "b": {"value": 1}, "c": {"value": 3}}
    assert path.read_text().index('"a"') < path.read_text().index('"b"') < path.read_text().index('"c"')
    assert list(path.parent.iterdir()) == [path]


def test_a_figure_that_is_none_is_refused_and_one_that_is_one_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="seconds is nan"):
        Report(tmp_path / "1")("seconds", float("nan"))
    Report(tmp_path / "1")("peak", 12, "MiB")
    assert capsys.readouterr().out == "REPORT peak=12 MiB\n"
