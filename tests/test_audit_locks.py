"""The audit says what was asked and answered; silence is never taken for a clean bill."""

from typing import Any

import pytest
from audit_locks import verdict

SKIPPED = {"name": "einops", "skip_reason": "Dependency not found on PyPI and could not be audited: einops (0.8.1)"}
CLEAN = {"name": "numpy", "version": "2.3.0", "vulns": []}
KNOWN = {"id": "PYSEC-2026-1", "fix_versions": ["1.2", "1.3"], "aliases": [], "description": ""}
OPEN = {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": [], "description": ""}
HOLED = {"name": "leaky", "version": "1.0", "vulns": [KNOWN, OPEN]}


@pytest.mark.parametrize("report", [None, {"dependencies": []}, {"dependencies": [SKIPPED, SKIPPED]}])
def test_nobody_answering_is_skipped_and_not_clean(report: dict[str, Any] | None) -> None:
    assert verdict(report) == ("vulnerabilities: skipped: offline", 0)


def test_answers_are_counted_beside_what_stayed_open() -> None:
    assert verdict({"dependencies": [SKIPPED, CLEAN]}) == ("vulnerabilities: 0 (1 of 2 packages answered for)", 0)


def test_every_vulnerability_is_named_with_its_remedy() -> None:
    text, count = verdict({"dependencies": [CLEAN, HOLED, SKIPPED]})
    assert count == 2
    assert text.splitlines() == [
        "vulnerabilities: 2 (2 of 3 packages answered for)",
        "  leaky 1.0: PYSEC-2026-1, mended in 1.2, 1.3",
        "  leaky 1.0: PYSEC-2026-2, mended in no version yet",
    ]
