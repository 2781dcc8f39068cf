"""`make spec`: the checklist items of the specifications that no test holds.

A test holds an item when it carries `@pytest.mark.spec("<specification>", "<item>", ...)`. Marks are read from the
source of the tests, without running them. Printed: `specification<TAB>item<TAB>text` a line, then a count.
"""

from __future__ import annotations

import argparse
import ast
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ITEMS = TESTS.parents[1] / "shared" / "specs" / "items.tsv"


def known_items() -> dict[tuple[str, str], str]:
    """(specification, item) -> text, in the order of the list."""
    with ITEMS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {(row["specification"], row["item"]): row["text"] for row in rows}


def marks(tests: Path = TESTS) -> Iterator[tuple[str, str, str]]:
    """Every (specification, item, place) named by a `spec` mark in a test file."""
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "spec":
                values = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
                for item in values[1:]:
                    yield str(values[0]), str(item), f"{path.relative_to(tests.parent)}:{node.lineno}"


def main() -> int:
    """Prints what is not held; exits with 2 if a mark names no known item."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one specification")
    only = parser.parse_args().only
    if not ITEMS.is_file():
        print(f"{ITEMS} is not there: the specifications lie beside the project.", file=sys.stderr)
        return 2
    known, held = known_items(), set()
    specifications = {s for s, _ in known}
    if only and only not in specifications:
        print(f"{only!r} is no specification. Known: {', '.join(sorted(specifications))}.", file=sys.stderr)
        return 2
    for specification, item, place in marks():
        if (specification, item) not in known:
            print(f"{place}: mark names no known item: {specification} {item}", file=sys.stderr)
            return 2
        held.add((specification, item))
    wanted = {key: text for key, text in known.items() if not only or key[0] == only}
    for (specification, item), text in wanted.items():
        if (specification, item) not in held:
            print(f"{specification}\t{item}\t{text}")
    print(f"{sum(key not in held for key in wanted)} of {len(wanted)} items are held by no test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
