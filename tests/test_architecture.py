"""docs/architecture.md against the package: the map shows every module and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_map_lists_every_module_once():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"```text\nnormsweep/\n(.*?)```", page, re.DOTALL)
    folder, listed = "", []
    for line in tree.splitlines():
        if line.endswith("/"):
            folder = line
        else:
            listed.append(folder + line.split()[0])
    package = ROOT / "normsweep"
    modules = [
        str(path.relative_to(package).with_suffix(""))
        for path in package.rglob("*.py")
        if path.name != "__init__.py" or path.parent == package
    ]
    assert sorted(listed) == sorted(modules)


def test_every_module_says_what_it_is():
    silent = [
        path
        for path in (ROOT / "normsweep").rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert not silent
