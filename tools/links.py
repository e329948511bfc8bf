"""Check that the relative links of the Markdown files lead to something: ``python -m tools.links``; exit 1 if not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["broken", "main"]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_ELSEWHERE = ("http://", "https://", "mailto:", "#")


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(pages: Iterable[Path]) -> Iterator[str]:
    """Say of each link to a file that is not there, or to a heading that the page does not have, where it stands."""
    for page in pages:
        text = _CODE.sub("", page.read_text(encoding="utf-8"))
        for link in _LINK.findall(text):
            if link.startswith(_ELSEWHERE):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name
            if not target.exists():
                yield f"{page}: there is no {link}"
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                yield f"{page}: there is no heading {link}"


def main() -> int:
    """Check every Markdown file below the working directory, hidden folders left out; return the exit code."""
    pages = sorted(p for p in Path().rglob("*.md") if not any(part.startswith(".") for part in p.parts))
    found = list(broken(pages))
    for line in found:
        print(line, file=sys.stderr)
    print(f"links of {len(pages)} pages: {len(found)} broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
