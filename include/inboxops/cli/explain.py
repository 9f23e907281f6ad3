"""inboxops explain, rehearse"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from inboxops.core.mail_rules.model import RuleSet

RULES = "Mail rules, as `inboxops rules list --tenant NAME --json` writes them."
AGENTS = "An address or a domain of your own people; may be given more than once."


def register(app: typer.Typer) -> None:
    app.command()(explain)
    app.command()(rehearse)


def explain(
    paths: Annotated[list[Path], typer.Argument(help="Mail files, or folders that hold some.", exists=True)],
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a message.")] = False,
    agent: Annotated[list[str] | None, typer.Option(help=AGENTS)] = None,
    rules: Annotated[Path | None, typer.Option(help=RULES)] = None,
) -> None:
    """Say what mail files are and why, offline: parse, verdict, rule and evidence."""
    from inboxops.core.customer import agent_names
    from inboxops.stories.explain import run

    agents = frozenset(agent_names(agent or ()))
    raise typer.Exit(run(paths, jsonl=jsonl, agents=agents, mail_rules=_rules(rules)))


def rehearse(
    paths: Annotated[list[Path], typer.Argument(help="Mail files, folders, Maildirs, mbox files.", exists=True)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object: tickets, and what was set aside.")] = False,
    agent: Annotated[list[str] | None, typer.Option(help=AGENTS)] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="The mailbox's own address; may be given more than once. By default whom most mail is for."),
    ] = None,
    rules: Annotated[Path | None, typer.Option(help=RULES)] = None,
) -> None:
    """Say what mail would have become, offline: tickets with their mails, and what was set aside and why.

    Takes an export as it is: .eml files, folders of them, Maildirs, and mbox files (Google Takeout, Thunderbird).
    """
    from inboxops.core.customer import agent_names
    from inboxops.stories.offline import run

    agents, own = frozenset(agent_names(agent or ())), frozenset(one.lower() for one in address or ())
    raise typer.Exit(run(paths, json=json, agents=agents, own=own, mail_rules=_rules(rules)))


def _rules(file: Path | None) -> RuleSet:
    """Those of a file; one that is off there decides nothing here either."""
    from inboxops.cli.rules import rules_in
    from inboxops.core.mail_rules.model import RuleSet

    return RuleSet(rules=rules_in(file)) if file else RuleSet()
