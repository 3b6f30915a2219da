"""Known vulnerabilities of what the locks install: `make audit` (`python tests/audit_locks.py [LOCK ...]`).

pip-audit asks PyPI about each package. Where nobody answers it says "no known vulnerabilities found"; here that is
"skipped: offline". Exit code 1 if there are any.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_LOCKS = ("locks/core.txt", "locks/dev.txt")
_AUDIT = ("tool", "run", "-q", "pip-audit==2.9.0", "--require-hashes", "--disable-pip", "--progress-spinner", "off")


def verdict(report: dict[str, Any] | None) -> tuple[str, int]:
    """One line a finding after a line that counts, and how many vulnerabilities are known.

    Args:
        report: pip-audit's, None if there is none.
    """
    packages = [] if report is None else report["dependencies"]
    answered = [package for package in packages if "skip_reason" not in package]
    if not answered:
        return "vulnerabilities: skipped: offline", 0
    found = [(package, known) for package in answered for known in package["vulns"]]
    lines = [f"vulnerabilities: {len(found)} ({len(answered)} of {len(packages)} packages answered for)"]
    for package, known in found:
        mended = ", ".join(known["fix_versions"]) or "no version yet"
        lines.append(f"  {package['name']} {package['version']}: {known['id']}, mended in {mended}")
    return "\n".join(lines), len(found)


def audit(lock: str) -> dict[str, Any] | None:
    """pip-audit's report on a lock; None, and its last words on stderr, if it has none to give."""
    command = [str(ROOT / ".venv/bin/uv"), *_AUDIT, "-f", "json", "-r", str(ROOT / lock)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.stdout.strip().startswith("{"):
        return json.loads(run.stdout)
    sys.stderr.write("".join(run.stderr.strip().splitlines(keepends=True)[-1:]) + "\n")
    return None


def main() -> None:
    """The command."""
    total = 0
    for lock in sys.argv[1:] or _LOCKS:
        text, count = verdict(audit(lock))
        sys.stdout.write(f"{lock}: {text}\n")
        total += count
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
