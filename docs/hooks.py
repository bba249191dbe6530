"""Pages of the site that are generated from the code.

`index.md` is the README; `reference/` has the keys of a sweep from the schema, the commands from their
help, the components from the registries, the Python API from its docstrings, and the examples.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from normsweep.sweep.schema import Section, inner_section

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to example files, as they are in the repository, to the page of examples."""
    return re.sub(
        r"\]\(\.\./examples/(?:[^)]*/)?([\w.]+)\)",
        lambda link: f"](reference/examples.md#{_anchor(link[1])})",
        markdown,
    )


def _anchor(file: str) -> str:
    return file.replace(".", "-")


def home() -> str:
    """The README as the start page."""
    text = (ROOT / "README.md").read_text()
    return text.replace("](docs/", "](").replace("](examples/", "](../examples/")


def sweep_keys() -> str:
    """Every key of a sweep file: its type, default and meaning."""
    from normsweep.sweep.schema import Sweep
    from normsweep.sweep.space_parsing import KEYS

    lines = [
        "# Sweep keys",
        "",
        "Generated from the schema of sweep files. [Sweep files](../sweep-files.md) explains how the keys "
        "work together.",
        *_section("", Sweep),
        *["", "## Parameters of the search space", ""],
        "A value, a list of values, or a table with these keys:",
        *["", "| key | |", "|---|---|", *(f"| `{key}` | {_cell(KEYS[key])} |" for key in KEYS)],
    ]
    return "\n".join(lines) + "\n"


def _section(name: str, section: type[Section]) -> Iterator[str]:
    """A table of the section's keys, followed by its subsections."""
    fields = section.model_fields
    inner = {key: kind for key, field in fields.items() if (kind := inner_section(field))}
    if name:
        yield from ("", f"## `[{name}]`", "", _words(section).partition(": ")[2].capitalize())
    yield from ("", "| key | type | default | |", "|---|---|---|---|")
    for key, field in fields.items():
        if key not in inner:
            meaning = field.description or _words(field.annotation)
            cells = (f"`{key}`", _legal(field), _default(field), meaning)
            yield "| " + " | ".join(map(_cell, cells)) + " |"
    for key, kind in inner.items():
        yield from _section(f"{name}.{key}" if name else key, kind)


def _legal(field: FieldInfo) -> str:
    from normsweep.sweep.arms import Arm
    from normsweep.sweep.space import Space

    if field.annotation is Space:
        return "a table of parameters"
    if field.annotation == tuple[Arm, ...]:
        return "a table of labels, each with a table of parameters"
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    return _values(schema)


TYPES = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "table",
}
BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "maxLength": "of at most {} characters",
}


def _values(schema: Mapping[str, Any]) -> str:
    """The values that a JSON schema allows, as text."""
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return ", ".join(dict.fromkeys(map(_values, kinds)))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    bounds = [words.format(schema[key]) for key, words in BOUNDS.items() if key in schema]
    return " ".join([TYPES[schema["type"]], *bounds])


def _default(field: FieldInfo) -> str:
    from normsweep.sweep.arms import Arm

    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or field.annotation == tuple[Arm, ...] else f"`{json.dumps(value)}`"


def commands() -> str:
    """The help of every command."""
    from normsweep.cli.main import app

    text = app.generate_docs(heading_level=1)
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands)", "", text, flags=re.S)
    text = re.sub(r" \*\[default: (?:\(\)|True|False)\]\*", "", text)
    text = re.sub(r"^### ", "## ", text, flags=re.M)
    modules = (
        "`python -m normsweep.study`, `.export` and `.report` are equivalent to `normsweep study`, "
        "`export` and `report`."
    )
    return text.replace("# normsweep\n", f"# Commands\n\n{modules}\n", 1)


def parts() -> str:
    """The registered components, by kind."""
    from normsweep.parts.catalog import REGISTRIES

    lines = [
        "# Components",
        "",
        "The output of `normsweep list parts`. [Custom components](../plugins.md) can be added.",
    ]
    for registry in REGISTRIES:
        lines += ["", f"## {registry.plural.capitalize()}", "", "| | | options |", "|---|---|---|"]
        for part in registry:
            cells = (f"`{part.name}`", part.summary, ", ".join(f"`{o}`" for o in part.options))
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def python_api() -> str:
    """Signatures and docstrings of the public API."""
    import normsweep
    from normsweep import errors, testing
    from normsweep.parts import datasets, influence, metrics, models, normalizations, optimizers
    from normsweep.parts.dataset import Dataset
    from normsweep.parts.metrics import Metric

    lines = ["# Python API", "", "[From Python](../python.md) explains how to use it."]
    for name in ("run", "load", "judge", "Study", "Answer", "JudgedRuns"):
        lines += _documented(f"normsweep.{name}", getattr(normsweep, name))
    lines += _documented("normsweep.parts.Dataset", Dataset)
    lines += _documented("normsweep.parts.Metric", Metric)
    for module in (normalizations, models, optimizers, datasets, metrics, influence):
        name = module.__name__.rpartition(".")[2]
        lines += ["", f"## `normsweep.parts.{name}`", "", *_block(inspect.getdoc(module) or "")]
        if register := getattr(module, "register", None):
            lines += _documented(f"normsweep.parts.{name}.register", register, "###")
    for name in testing.__all__:
        lines += _documented(f"normsweep.testing.{name}", getattr(testing, name))
    lines += ["", "## `normsweep.errors`", "", *_block(errors.__doc__ or "")]
    return "\n".join(lines) + "\n"


def _documented(name: str, each: Any, level: str = "##") -> Iterator[str]:
    yield from ("", f"{level} `{name}`", "")
    if not isinstance(each, property):
        yield from ("```python", _signature(name.rpartition(".")[2], each), "```", "")
    yield from _block(inspect.getdoc(each) or "")
    if inspect.isclass(each):
        for key, value in vars(each).items():
            if not key.startswith("_") and (
                callable(value) or isinstance(value, classmethod | property)
            ):
                shown = value.__func__ if isinstance(value, classmethod) else value
                yield from _documented(f"{name.rpartition('.')[2]}.{key}", shown, "###")


class _Written(str):
    """An annotation as written in the source, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _signature(name: str, each: Callable[..., Any]) -> str:
    """The signature, with one argument per line if it is long."""
    signature = inspect.signature(each)
    kinds = inspect.Parameter
    given = [
        p.replace(annotation=_written(p.annotation))
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    signature = signature.replace(
        parameters=given, return_annotation=_written(signature.return_annotation)
    )
    short = f"{name}{signature}"
    if len(short) <= 90:
        return short
    arguments = [str(parameter) for parameter in given]
    first = next((i for i, p in enumerate(given) if p.kind is kinds.KEYWORD_ONLY), None)
    if first is not None:
        arguments.insert(first, "*")
    ends = short.rpartition(")")[2]
    return "\n".join([f"{name}(", *(f"    {a}," for a in arguments), f"){ends}"])


def _written(annotation: Any) -> Any:
    return _Written(annotation) if isinstance(annotation, str) else annotation


def _block(text: str) -> Iterator[str]:
    """A docstring: its first paragraph as text, the rest preformatted."""
    head, _, rest = text.partition("\n\n")
    yield from (" ".join(head.split()), "")
    if rest.strip():
        yield from ("```text", rest.rstrip(), "```")


def examples() -> str:
    """The files of `examples/`: scripts, notebooks as their cells, the package and the questions as their files."""
    lines = ["# Examples", "", "The files of `examples/` in the repository."]
    for path in sorted(EXAMPLES.glob("*.py")):
        lines += _file(path, 2)
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        lines += ["", f"## {path.name} {{ #{_anchor(path.name)} }}", *_cells(path)]
    package = EXAMPLES / "plugin_package"
    lines += ["", "## plugin_package { #plugin_package }"]
    for path in sorted(package.rglob("*")):
        if path.suffix in LANGUAGES:
            name = path.relative_to(EXAMPLES)
            lines += [
                "",
                f'```{LANGUAGES[path.suffix]} title="{name}"',
                path.read_text().rstrip(),
                "```",
            ]
    lines += ["", "## questions { #questions }"]
    for path in sorted((EXAMPLES / "questions").iterdir()):
        if path.suffix in LANGUAGES:
            lines += _file(path, 3)
    return "\n".join(lines) + "\n"


def _file(path: Path, level: int) -> list[str]:
    """A file under a heading of its name."""
    heading = f"{'#' * level} {path.name} {{ #{_anchor(path.name)} }}"
    return ["", heading, "", f"```{LANGUAGES[path.suffix]}", path.read_text().rstrip(), "```"]


LANGUAGES = {".py": "python", ".toml": "toml"}


def _cells(path: Path) -> Iterator[str]:
    """A notebook's cells, with headings two levels lower."""
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield from ("", "```python", source, "```")
        else:
            yield from ("", re.sub(r"^#", "###", source, flags=re.M))


def _words(each: Any) -> str:
    return " ".join((inspect.getdoc(each) or "").split())


def _cell(text: str) -> str:
    """A table's cell: `|` would end it."""
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: dict[str, Callable[[], str]] = {
    "index.md": home,
    "reference/sweep-keys.md": sweep_keys,
    "reference/commands.md": commands,
    "reference/python.md": python_api,
    "reference/parts.md": parts,
    "reference/examples.md": examples,
}
"""The generated pages, and the functions that generate them."""
