"""Runs of Airflow that something asks for: started now, or remembered in the outbox while Airflow is away or refuses us.

Each goes to the Airflow of the tenant's cell. Where that is not known here, it is as if it were away: the cell's own `drain_outbox`
finds what the outbox keeps for its tenants.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from inboxops.composition.world import World
from inboxops.core.inbox import REGISTRATION_DAGS, REPLAY_DAG, ROSTER_DAG, SEND_DAG, Inbox
from inboxops.core.push import Errand
from inboxops.errors import InboxOpsError, InvalidInput, OperatorError, TransientError
from inboxops.stories.drain import wake_or_remember
from inboxops.stories.telling import WHO, log


def wake(world: World, inbox_id: int) -> bool:
    """Have the inbox's DAG run at once; else the wake-up waits in the outbox. True when delivered now.

    An inbox that was removed has no DAG: what is sent back of its mail is filed by `drain_outbox`.
    """
    inbox = world.inboxes.get(inbox_id, removed=True)
    if inbox.is_removed:
        return False
    return wake_or_remember(
        inbox_id,
        lambda id_: world.airflows.of(inbox.cell).wake(id_),
        lambda id_: world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, id_),
    )


def ask_for_registration(world: World, inbox: Inbox) -> None:
    """Have the inbox's push channel made by its DAG, at once or when Airflow is back."""
    world.outbox.add_errand(Errand.REGISTER, inbox.tenant_id, inbox.id)
    deliver(world, Errand.REGISTER, inbox.id)


def ask_for_replay(world: World, tenant_id: int, replay_id: int) -> bool:
    """Have a run do what the replay's row says is to be done, at once or when Airflow is back. True when it is started."""
    world.outbox.add_errand(Errand.REPLAY, tenant_id, replay_id)
    return deliver(world, Errand.REPLAY, replay_id)[0] > 0


def deliver(world: World, kind: Errand, about: int | None = None, *, cell: str | None = None) -> tuple[int, int]:
    """Hand stored errands to Airflow, those of one inbox or replay, or all of a cell that are due: (delivered, kept)."""
    errands = {Errand.WAKE: _start_inbox, Errand.REGISTER: _start_registration, Errand.REPLAY: _start_replay}
    start, said = errands[kind], set[str]()

    def start_or_tell(about: int, errand_id: int, cell: str) -> None:
        try:
            start(world, about, errand_id, cell)
        except InboxOpsError as exc:
            if str(exc) not in said:  # of hundreds that all fail alike
                said.add(str(exc))
                log.warning("errand_kept", kind=kind, about=about, cell=cell, why=str(exc), who_can_help=WHO[exc.kind])
            raise

    return world.outbox.deliver_errands(kind, start_or_tell, about=about, cell=cell)


def deliver_sends(
    world: World, *, tenant_id: int | None = None, name: str | None = None, cell: str | None = None
) -> tuple[int, int]:
    """Start the runs that send what is ordered, of a tenant or a cell: (started, kept)."""
    return world.outbox.deliver_sends(partial(_start_send, world), tenant_id=tenant_id, name=name, cell=cell)


def show_inboxes(world: World, cell: str | None = None) -> bool:
    """Have the Airflow of a cell, or our own, read the list of inboxes now. False while it is away: it reads it when it starts."""
    cell = cell or world.cell
    try:
        world.airflows.of(cell).parse_again(ROSTER_DAG)
    except TransientError:
        return False
    except OperatorError as exc:
        log.warning("list_not_shown", cell=cell, why=str(exc), who_can_help=WHO[exc.kind])
        return False
    return True


def _start_inbox(world: World, inbox_id: int, errand_id: int, cell: str) -> None:
    world.airflows.of(cell).wake(inbox_id)


def _start_registration(world: World, inbox_id: int, errand_id: int, cell: str) -> None:
    """Named by its errand, so that delivering it twice starts one run. An inbox that is gone needs none."""
    with suppress(InvalidInput):
        dag = REGISTRATION_DAGS.get(world.inboxes.get(inbox_id).connection_type)
        if dag is not None:
            world.airflows.of(cell).start(dag, f"inbox-{inbox_id}-{errand_id}", {"inbox_id": inbox_id})


def _start_replay(world: World, replay_id: int, errand_id: int, cell: str) -> None:
    world.airflows.of(cell).start(REPLAY_DAG, f"replay-{replay_id}-{errand_id}", {"replay_id": replay_id})


def _start_send(world: World, message_id: int, attempt: int, order_id: int, cell: str) -> None:
    """Named by its order, so that delivering it twice starts one run, and an order that is given anew another one."""
    run, conf = f"send-{message_id}-{attempt}-{order_id}", {"message_id": message_id, "attempt": attempt}
    try:
        world.airflows.of(cell).start(SEND_DAG, run, conf)
    except InboxOpsError as exc:
        log.warning("send_kept", message=message_id, cell=cell, why=str(exc), who_can_help=WHO[exc.kind])
        raise
