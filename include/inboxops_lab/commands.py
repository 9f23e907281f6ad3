"""inboxops bench ..."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from inboxops.cli.show import json_lines, table
from inboxops.cli.world import opened

bench = typer.Typer(
    help="Measure the product on this machine, with real servers in a folder of their own.", no_args_is_help=True
)


@bench.callback()
def _ends_in_order() -> None:
    from inboxops_local.ending import end_in_order

    end_in_order()


SIZES = [10_000, 100_000, 1_000_000]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")]


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is being done now, on stderr, and what the product logs meanwhile: stdout is the result's."""
    from rich.console import Console

    console = Console(stderr=True)
    with redirect_stdout(sys.stderr), console.status("") as status:

        def say(what: str) -> None:
            if console.is_terminal:
                status.update(what)
            else:
                console.print(what, markup=False, highlight=False)

        yield say


def _show(title: str, result: Any, *, json: bool) -> None:
    facts = result if isinstance(result, dict) else dataclasses.asdict(result)
    if json:
        json_lines([facts])
        return
    rows = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += [[f"{name} {inner}", shown] for inner, shown in value.items()]
        else:
            rows.append([name, value])
    table(title, ["", ""], rows)


@bench.command()
def ingest(
    messages: Annotated[int, typer.Option(min=1, help="How many messages the mailbox holds.")] = 5000,
    rivals: Annotated[bool, typer.Option(help="Let imapflow and mailparser (npm) read the same mailbox.")] = True,
    seed: Annotated[int, typer.Option(help="Another seed is another mailbox.")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--from", exists=True, file_okay=False, help="Of the .eml files below this folder.")
    ] = None,
    megabytes: Annotated[int | None, typer.Option(min=1, max=200, help="One mail of this size.")] = None,
    json: Json = False,
) -> None:
    """A full mailbox in Dovecot becomes committed tickets with raw mail and attachments in S3."""
    from inboxops_lab.bench.corpus import corpus, large, of_folder
    from inboxops_lab.bench.ingest import ADDRESS
    from inboxops_lab.bench.ingest import ingest as measure

    if megabytes is not None:
        messages, mailbox = 1, iter([large(megabytes)])
    elif folder is not None:
        mailbox = of_folder(folder, messages)
    else:
        mailbox = corpus(messages, seed=seed, to=ADDRESS)
    with _progress() as say:
        result = measure(mailbox, messages, with_rivals=rivals, say=say)
    _show(f"Ingest of {messages} messages", result, json=json)


@bench.command()
def logs(
    messages: Annotated[int, typer.Option(min=1, help="How many messages the mailbox holds.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="How often it is taken in each way.")] = 4,
    seed: Annotated[int, typer.Option(help="Another seed is another mailbox.")] = 1,
    json: Json = False,
) -> None:
    """What the lines of a task's log about single mails cost of a backlog, in CPU-seconds, with and without in turn."""
    from inboxops_lab.bench.corpus import corpus
    from inboxops_lab.bench.logs import ADDRESS
    from inboxops_lab.bench.logs import logs as measure

    with _progress() as say:
        result = measure(corpus(messages, seed=seed, to=ADDRESS), messages, rounds=rounds, say=say)
    _show(f"The log of {messages} messages", result, json=json)


@bench.command()
def replay(
    messages: Annotated[int, typer.Option(min=100, help="How many stored mails.")] = 10_000, json: Json = False
) -> None:
    """Stored mail read again and compared with what is stored; applied; and read once more."""
    from inboxops_lab.bench.replay import replay as measure

    with _progress() as say:
        result = measure(messages, say=say)
    _show(f"Replay of {messages} stored mails", result, json=json)


@bench.command()
def grow(
    size: Annotated[
        list[int], typer.Option(help="Messages already there; repeat it for more sizes, ascending.")
    ] = SIZES,
    batch: Annotated[int, typer.Option(min=10, help="Messages that are taken in and measured.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="How often; the median counts.")] = 5,
    json: Json = False,
) -> None:
    """What a message costs when the database already holds many."""
    from inboxops_lab.bench.grow import grow as measure

    with _progress() as say:
        result = measure(sorted(size), batch=batch, rounds=rounds, say=say)
    _show("Cost of a message by what is there", result, json=json)


class Kind(StrEnum):
    naive = "naive"
    triggerer = "triggerer"
    idle = "idle"


@bench.command()
def poll(
    inboxes: Annotated[int, typer.Option(min=1, help="Quiet inboxes on one Dovecot.")] = 100,
    design: Annotated[
        Kind, typer.Option(help="idle: all mailboxes held in IDLE; naive: three tasks that always run.")
    ] = Kind.triggerer,
    every: Annotated[int, typer.Option(min=1, max=30, help="Minutes between two polls of one inbox.")] = 5,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long to measure, after one period to settle.")] = 5,
    naive: Annotated[bool, typer.Option(help="Measure the naive design as well, with at most 100 inboxes.")] = True,
    json: Json = False,
) -> None:
    """What a poll of a quiet inbox costs, and how late it is, with everything real."""
    from inboxops_lab.bench.poll import Design
    from inboxops_lab.bench.poll import poll as measure

    with _progress() as say:
        result = measure(inboxes, Design(design), every=every, minutes=minutes, with_naive=naive, say=say)
    _show(f"{inboxes} inboxes, every {every} minutes", result, json=json)


@bench.command()
def look(
    inboxes: Annotated[
        int, typer.Option(min=1, help="Inboxes, up to 100 of them on Dovecot, the others simulated.")
    ] = 10_000,
    every: Annotated[int, typer.Option(min=1, max=30, help="Minutes between two looks at one inbox.")] = 5,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long to measure: one interval or more.")] = 5,
    watchers: Annotated[int, typer.Option(min=1, help="Processes that share the looks.")] = 1,
    held: Annotated[
        int, typer.Option(min=0, help="Mails to an inbox in IDLE meanwhile, with the whole stack; 0: none.")
    ] = 20,
    json: Json = False,
) -> None:
    """Inboxes looked at without a run: how late, at what cost. Ends with 1 when one was looked at twice, or mail was not seen."""
    from inboxops_lab.bench.look import look as measure

    with _progress() as say:
        result = measure(inboxes, every=every, minutes=minutes, watchers=watchers, held=held, say=say)
    _show(f"{inboxes} inboxes, looked at every {every} minutes", result, json=json)
    if result.double_looks or result.mails_found < result.mails_delivered:
        raise typer.Exit(1)


@bench.command("cells")
def cells_(
    cells: Annotated[int, typer.Option(min=1, max=9, help="Airflows over one database, about 1 GB each.")] = 2,
    inboxes: Annotated[int, typer.Option(min=1, help="Quiet, simulated inboxes of each cell.")] = 100,
    every: Annotated[int, typer.Option(min=1, max=30, help="Minutes between two polls of one inbox.")] = 5,
    minutes: Annotated[float, typer.Option(min=1, help="How long to measure, after one period to settle.")] = 10,
    json: Json = False,
) -> None:
    """Several cells at once, and a tenant that moves. Ends with 1 when a mailbox was polled twice or a mail lost or doubled."""
    from inboxops_lab.bench.cells import cells as measure

    with _progress() as say:
        result = measure(cells, inboxes, every=every, minutes=minutes, say=say)
    _show(f"{cells} cells of {inboxes} inboxes, polled every {every} minutes", result, json=json)
    if result.double_polls or not result.mails == result.filed == result.different:
        raise typer.Exit(1)


@bench.command()
def console(
    inboxes: Annotated[int, typer.Option(min=1, help="Inboxes in the list.")] = 3000,
    pages: Annotated[int, typer.Option(min=20, help="Pages, sorted and filtered at random.")] = 200,
    json: Json = False,
) -> None:
    """How long the console's page Inboxes takes in Airflow, and what it costs in memory."""
    from inboxops_lab.bench.console import console as measure

    with _progress() as say:
        result = measure(inboxes, pages, say=say)
    _show(f"The console with {inboxes} inboxes", result, json=json)


@bench.command()
def certificate(
    inboxes: Annotated[int, typer.Option(min=1, help="Inboxes of one tenant.")] = 100,
    mails: Annotated[int, typer.Option(min=1, help="Mails of a day, of all inboxes together.")] = 100_000,
    faults: Annotated[int, typer.Option(min=0, help="Of each kind, for a second certificate to find.")] = 0,
    json: Json = False,
) -> None:
    """How long the certificate of a day takes, what memory it needs, what faults it finds; the providers' lists are simulated."""
    from inboxops_lab.bench.certificate import certificate as measure

    with _progress() as say:
        result = measure(inboxes, mails, faults, say=say)
    _show(f"The certificate of {mails} mails", result, json=json)


@bench.command()
def latency(
    samples: Annotated[int, typer.Option(min=1, help="Mails for each way of being woken.")] = 20, json: Json = False
) -> None:
    """How soon an appended mail is a committed ticket: woken by IMAP IDLE, and by an asset event."""
    from inboxops_lab.bench.latency import latency as measure

    with _progress() as say:
        result = measure(samples, say=say)
    _show("From the mailbox to a ticket", result, json=json)


@bench.command()
def send(
    count: Annotated[int, typer.Option(min=1, help="Replies, one after the other.")] = 30, json: Json = False
) -> None:
    """Time from calling the API of the running stack to the mail server's 250, with a mail server of the measurement's own."""
    from inboxops_lab.bench.send import send as measure

    with opened() as world, _progress() as say:
        result = measure(world, count, say=say)
    _show(f"{count} replies", result, json=json)


@bench.command()
def push(
    mails: Annotated[int, typer.Option(min=1, help="Mails on their way to a ticket, one by one.")] = 20,
    json: Json = False,
) -> None:
    """Webhooks under load, a burst for one inbox, and pushed mails until their tickets are committed; takes five minutes."""
    from inboxops_lab.bench.push import push as measure

    with _progress() as say:
        result = measure(mails, say=say)
    _show("Push", result, json=json)


@bench.command()
def live(
    tickets: Annotated[int, typer.Option(min=100, help="Tickets of one tenant.")] = 1_000_000,
    clients: Annotated[int, typer.Option(min=1, help="Clients that listen for events.")] = 500,
    events: Annotated[int, typer.Option(min=1, help="Changes of tickets, one by one.")] = 200,
    json: Json = False,
) -> None:
    """The list of tickets with many of them, and events from the commit to clients and to a browser; takes some minutes."""
    from inboxops_lab.bench.live import live as measure

    with _progress() as say:
        result = measure(tickets, clients, events, say=say)
    _show("Lists and events", result, json=json)


@bench.command()
def thread(
    messages: Annotated[int, typer.Option(min=1, max=100, help="Messages of each thread.")] = 50,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 20,
    json: Json = False,
) -> None:
    """Long threads, read through one process of the API at a steady rate."""
    from inboxops_lab.bench.thread import thread as measure

    with _progress() as say:
        result = measure(messages, rate, seconds, say=say)
    _show(f"Threads of {messages} messages", result, json=json)


@bench.command()
def soak(
    minutes: Annotated[float, typer.Option(min=2, help="How long there is load.")] = 60,
    json: Json = False,
) -> None:
    """Mixed load, half of the time while parts are killed and hang, and an account of mails, answers and events.

    Ends with 1 when one is missing, when a process grows while all is left alone, or when none was there to be watched.
    """
    from inboxops_lab.bench.soak import WRONG
    from inboxops_lab.bench.soak import soak as measure

    with _progress() as say:
        result = measure(minutes, say=say)
    _show(f"Soak of {minutes:g} minutes", result, json=json)
    if result["grown"] or not result["processes_watched"] or any(result[name] for name in WRONG):
        raise typer.Exit(1)


@bench.command()
def kills(
    messages: Annotated[int, typer.Option(min=100, help="Mails in the backlog.")] = 2000,
    times: Annotated[int, typer.Option(min=1, help="How often each process is killed.")] = 10,
    only: Annotated[str, typer.Option(help="What to kill, by a part of its name.")] = "",
    json: Json = False,
) -> None:
    """Processes killed while a backlog is filed, and how long until all of it is.

    Ends with 1 when a mail is lost or double, or not filed within a minute.
    """
    from inboxops_lab.bench.kills import kills as measure

    with _progress() as say:
        result = measure(messages, times, only=only, say=say)
    _show("Kills during a backlog", result, json=json)
    if any(one["lost"] or one["double"] or one["within_60"] < one["times"] for one in result["killed"].values()):
        raise typer.Exit(1)


@bench.command()
def drain(
    inboxes: Annotated[int, typer.Option(min=1, help="Full mailboxes, all woken at once.")] = 6,
    messages: Annotated[int, typer.Option(min=1, help="Mails in each of them.")] = 1000,
    workers: Annotated[str, typer.Option(help="Slots of the pool that they share, round for round.")] = "1,2,3",
    json: Json = False,
) -> None:
    """Several full mailboxes side by side, with more and more workers; and what a small inbox beside them waits for its tickets."""
    from inboxops_lab.bench.drain import drain as measure

    if not all(slots.isdecimal() and int(slots) for slots in workers.split(",")):
        raise typer.BadParameter("numbers with commas between them, such as 1,2,3", param_hint="--workers")
    with _progress() as say:
        result = measure(inboxes, messages, [int(slots) for slots in workers.split(",")], say=say)
    _show(f"{inboxes} mailboxes of {messages} mails, side by side", result, json=json)


@bench.command()
def move(
    messages: Annotated[int, typer.Option(min=1, help="Mails of the tenant, 62 KB each.")] = 5000,
    json: Json = False,
) -> None:
    """A tenant full of mail goes to another installation: how long that takes, and how long it is held for."""
    from inboxops_lab.bench.move import move as measure

    with _progress() as say:
        result = measure(messages, say=say)
    _show(f"A tenant with {messages} mails goes to another installation", result, json=json)


def register(app: typer.Typer) -> None:
    """The entry point in the group `inboxops.commands`."""
    app.add_typer(bench, name="bench")
