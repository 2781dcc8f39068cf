"""How long `secondlook --help` takes, as a ratio to `python -c pass`: the price of starting, paid at every command."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(command: list[str], runs: int = 9) -> float:
    """Median wall-clock time of a whole process."""
    taken = []
    for _ in range(runs):
        began_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken)


def main() -> None:
    """Prints both and the ratio."""
    nothing = seconds([sys.executable, "-c", "pass"])
    ours = seconds([sys.executable, "-m", "secondlook", "--help"])
    print(f"python -c pass {nothing:.3f} s, secondlook --help {ours:.3f} s, ratio {ours / nothing:.1f}")


if __name__ == "__main__":
    main()
