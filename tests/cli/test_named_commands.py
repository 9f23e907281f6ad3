"""Every command that a text of ours tells somebody to type is one that the command line takes as it stands.

Held against the command line itself, without running it: values are not looked at, names and what is required are.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from inboxops.cli import app

ROOT = Path(__file__).parents[2]
PROGRAM: Any = typer.main.get_command(app)
SOURCES = [path for room in ("include", "api", "plugins", "dags") for path in sorted((ROOT / room).rglob("*.py"))]
SCRIPTS = sorted((ROOT / "api" / "static").glob("*.js"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

QUOTED = re.compile(r"`(inboxops [^`]+)`")
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
PLACEHOLDER = "X"


def complaint(command: str, *, name_alone: bool = False) -> str:
    """What the command line would say to it; "" when it takes it. name_alone: the name of a command or a group is enough."""
    words, known = shlex.split(command)[1:], PROGRAM
    while hasattr(known, "commands"):
        if not words or words[0].startswith("-"):
            return "" if name_alone or words in (["--help"], ["-h"]) else "it names a group"
        if words[0] not in known.commands:
            return f"there is no {words[0]}"
        known = known.commands[words.pop(0)]
    if words in (["--help"], ["-h"]) or (name_alone and not words):
        return ""
    context = known.context_class(known, info_name=known.name)
    try:
        given, left, _ = known.make_parser(context).parse_args(list(words))
    except TyperException as exc:
        return str(exc)
    if left:
        return f"too much: {left}"
    missing = [
        one.name
        for one in known.params
        if one.required and not isinstance(given.get(one.name), str | list | tuple | bool)
    ]
    return f"it needs {missing}" if missing else ""


def typed(text: str) -> Iterator[str]:
    """The commands in a line of a manual: without what explains it, once for each alternative, without what may be left out."""
    line = re.split(r"\s{2,}|\s#", text.replace(" | ", "|").strip())[0].rstrip(".").rstrip()
    for part in re.split(r", (?=inboxops )", line):
        part = re.sub(r"\[[^]]*\]|\.\.\.", "", part)
        words = [word.split("|") if not word.startswith("'") else [word] for word in part.split()]
        yield from (" ".join(chosen) for chosen in product(*words))


def messages(path: Path) -> Iterator[str]:
    """The texts of a module, its docstrings left out; what is filled in later stands as a word."""
    tree = ast.parse(path.read_text("utf-8"))
    no_messages = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            no_messages |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in no_messages:
            yield re.sub(r"\{\w*\}", PLACEHOLDER, node.value)


def test_what_a_message_says_to_type_is_taken() -> None:
    named = [
        (path.relative_to(ROOT).as_posix(), command)
        for path in SOURCES
        for text in messages(path)
        for command in QUOTED.findall(text)
    ]
    assert len(named) > 40
    assert [(where, command, said) for where, command in named if (said := complaint(command))] == []


def test_what_the_page_says_to_type_is_taken() -> None:
    text = "".join(path.read_text("utf-8") for path in SCRIPTS)
    found = re.findall(r"[\"`](inboxops [^\"`]+)[\"`]", text)
    named = [re.sub(r"\$\{[^}]*\}", PLACEHOLDER, one.replace("\\\\\\n", "")) for one in found]
    assert len(named) > 2
    assert [(one, said) for one in named if (said := complaint(one))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_manual_says_to_type_is_taken(page: Path) -> None:
    """In its blocks as it stands there; in its sentences a name alone speaks of the command."""
    text = page.read_text("utf-8")
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("inboxops ")]
    told = [(command, complaint(command)) for line in lines for command in typed(line)]
    sentences = QUOTED.findall(BLOCK.sub("", text))
    told += [(command, complaint(command, name_alone=True)) for one in sentences for command in typed(one)]
    assert [(command, said) for command, said in told if said] == []
