"""`make audit`: pip-audit over a lock, and a clear word where its database can't be asked.

Exit code 1 for known vulnerabilities, 2 where nobody could say.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 300


def main(lock: str) -> int:
    options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "20", "--format", "json")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, "--requirement", lock],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as exc:
        last = (
            (done.stderr.strip().splitlines() or [""])[-1]
            if isinstance(exc, ValueError)
            else f"no answer in {SECONDS} s"
        )
        say(f"not audited: the database of known vulnerabilities could not be asked ({last})")
        return 2
    for one in told:
        for known in one.get("vulns", []):
            say(
                f"{one['name']} {one['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no version'}"
            )
    skipped = [one["name"] for one in told if "skip_reason" in one]
    say(f"{len(told) - len(skipped)} of {len(told)} packages of {lock} looked up")
    if any(one.get("vulns") for one in told):
        return 1
    if skipped:
        say(
            f"not audited: of {len(skipped)} the database says nothing, neither good nor bad: {', '.join(skipped[:5])} ..."
        )
        return 2
    return 0


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
