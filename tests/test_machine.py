"""The yardstick of the tests that hold promises in seconds."""

import time
from types import SimpleNamespace

import machine
import pytest
from machine import slowness, within


@pytest.mark.parametrize(("took_s", "is_allowed"), [(0.09, True), (0.2, True), (0.29, True), (0.35, False)])
def test_what_takes_many_times_as_long_as_promised_is_refused(
    monkeypatch: pytest.MonkeyPatch, took_s: float, is_allowed: bool
):
    """By a clock that is set: three times what is promised is allowed here."""
    clock = iter((5.0, 5.0 + took_s))
    monkeypatch.setattr(machine, "time", SimpleNamespace(process_time=lambda: next(clock)))
    monkeypatch.setattr(machine, "slowness", lambda: 1.5)
    if is_allowed:
        with within(0.1) as spent:
            pass
        assert spent.cpu_s == pytest.approx(took_s)
    else:
        with pytest.raises(AssertionError, match=r"0.1 s are 0.30 s here"), within(0.1):
            pass


def test_the_wait_for_others_is_free():
    with within(1.0) as spent:
        time.sleep(0.5)
    assert spent.cpu_s < 0.3


def test_a_machine_is_never_faster_than_the_one_of_the_promises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_work", lambda: 0.1 * machine._REFERENCE_S)
    assert slowness() == 1.0
    monkeypatch.setattr(machine, "_work", lambda: 3 * machine._REFERENCE_S)
    assert slowness() == pytest.approx(3.0)
