"""The yardstick of the tests that hold promises in seconds."""

import time

import machine
import pytest
from machine import slowness, within


def burn(seconds: float) -> None:
    begin_s = time.process_time()
    while time.process_time() - begin_s < seconds:
        pass


def test_what_takes_many_times_as_long_as_promised_is_refused_and_the_wait_for_others_is_free(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(machine, "slowness", lambda: 1.5)
    with within(0.1) as spent:
        time.sleep(0.5)
        burn(0.2)
    assert 0.2 <= spent.cpu_s < 0.3
    with pytest.raises(AssertionError, match=r"0.1 s are 0.30 s here"), within(0.1):
        burn(0.35)


def test_a_machine_is_never_faster_than_the_one_of_the_promises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_work", lambda: 0.1 * machine._REFERENCE_S)
    assert slowness() == 1.0
    monkeypatch.setattr(machine, "_work", lambda: 3 * machine._REFERENCE_S)
    assert slowness() == pytest.approx(3.0)
