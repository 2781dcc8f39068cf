"""`make bench`: the benchmarks that end within minutes, one after the other. Each prints ratios of one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

QUICK = (
    *("help_speed.py", "drawing.py", "decoding.py", "index_memory.py", "loader_memory.py", "models.py --quick"),
    "explain_cost.py --quick",
)
"""Left out: `real_sets.py` (half an hour), `audit_evaluate.py` and `reassess.py` (large tables)."""


def main() -> int:
    """Runs them; the exit code is 1 if one failed."""
    here, failed = Path(__file__).parent, []
    for name in QUICK:
        print(f"\n== {name}", flush=True)
        script, *arguments = name.split()
        command = [sys.executable, str(here / script), *arguments]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print("\n" + (f"failed: {', '.join(failed)}" if failed else "all done"))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
