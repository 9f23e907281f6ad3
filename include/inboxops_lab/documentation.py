"""What `make docs` adds to the pages of docs/: the README as the first page, and references made from the code.

MkDocs calls `on_files` and `on_nav` (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[2]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Decisions are many and in order: the menu lists what is there."""
    decisions = [f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert config.nav is not None
    for part in config.nav:
        for entries in part.values():
            for entry in entries if isinstance(entries, list) else ():
                if "Decisions" in entry:
                    entry["Decisions"] = decisions
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    readme = (
        (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](").replace("](CHANGELOG.md", "](changelog.md")
    )
    pages = {
        "index.md": readme.replace("](adr/)", f"]({_first_decision()})"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
        "reference/settings.md": settings(),
        "reference/commands.md": commands(),
        "reference/api.md": api(),
        "reference/metrics.md": metrics(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to the folder of decisions leads to its first page: a site has no folders."""
    return markdown.replace("](adr/)", f"]({_first_decision()})")


def settings() -> str:
    from inboxops.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = "required" if default is PydanticUndefined else f"`{default}`" if default not in ("", None) else ""
        rows.append((f"`INBOXOPS_{name.upper()}`", shown, field.description or ""))
    head = "Each is an environment variable, or a line in `$INBOXOPS_HOME/inboxops.env`; the environment wins."
    return f"# Settings\n\n{head}\n\n{_table(('name', 'default', 'what for'), rows)}"


def commands() -> str:
    from inboxops.cli import app

    command = typer.main.get_command(app)
    context = click.Context(command, info_name="inboxops")  # type: ignore[arg-type]
    return "# Commands\n\n" + get_docs_for_click(obj=command, ctx=context, name="inboxops").partition("\n")[2]  # type: ignore[arg-type]


def api() -> str:
    from api.app import app

    document = app.openapi()
    text = "# API\n\nWhat [the API](../api.md) answers, from its OpenAPI document (`/openapi.json`).\n"
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            text += f"\n## `{method.upper()} {path}`\n\n{about.get('description') or about.get('summary', '')}\n\n"
            text += _table(("parameter", "in", "what"), list(_parameters(about)))
            answers = [(status, answer.get("description", "")) for status, answer in about["responses"].items()]
            text += _table(("answer", "when"), answers)
    return text


def _parameters(about: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in about.get("parameters", ()):
        must = "" if parameter.get("required") else " (optional)"
        yield f"`{parameter['name']}`", parameter["in"] + must, parameter.get("description", "")
    for kind, content in about.get("requestBody", {}).get("content", {}).items():
        yield (
            "body",
            kind,
            f"`{content['schema'].get('$ref', '').rpartition('/')[2] or content['schema'].get('type', '')}`",
        )


def metrics() -> str:
    from api.routers.metrics import FIGURES

    rows = [
        (f"`inboxops_{name}`", ", ".join(f"`{label}`" for label in figure.labels), figure.meaning)
        for name, figure in FIGURES.items()
    ]
    head = (
        "`GET /metrics` of the API; how to open it and what to do on an alert: [operations](../operations.md#metrics)."
    )
    return f"# Metrics\n\n{head}\n\n{_table(('metric', 'labels', 'what'), rows)}"


def _first_decision() -> str:
    return f"adr/{min(path.name for path in (ROOT / 'docs' / 'adr').glob('*.md'))}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    cells = [head, ("---",) * len(head), *rows]
    lines = ["| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in row) + " |" for row in cells]
    return "\n".join(lines) + "\n\n"
