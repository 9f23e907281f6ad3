"""The task that sends one message: named by the run's conf, retried as long as a failure is transient."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from inboxops.errors import InboxOpsError, TransientError
from inboxops_airflow import conf
from inboxops_airflow.operators import counted

if TYPE_CHECKING:
    from inboxops.composition.world import World
    from inboxops.stories.send import Dispatch

RETRIES = 12
FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(hours=1)
PATIENT_TRIES = 6
"""For five minutes, which is what greylisting asks for as a rule, all recipients wait for one who is refused for now."""


class BackOff(RetryPolicy):
    """10 s, doubled each time up to an hour, about five hours in all; longer where the mail server asks for it.

    Not sooner: a server that asks for a second each time would have used up all tries within a minute.
    """

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, InboxOpsError) and not isinstance(exception, TransientError):
            return RetryDecision.fail(reason=str(exception))
        asked = timedelta(seconds=exception.retry_after or 0) if isinstance(exception, TransientError) else timedelta()
        delay = max(asked, FIRST_DELAY * 2 ** (try_number - 1))
        return RetryDecision.retry(delay=min(delay, LONGEST_DELAY), reason=str(exception)[:500])


class TicketLink(BaseOperatorLink):
    """A button on the task, also of one that failed: the ticket in the agents' page."""

    name = "Ticket"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return cast(SendMessage, operator).ticket_page


class SendMessage(BaseOperator):
    """conf: message_id, attempt. What became of the message is on its row; the task fails when it did not leave."""

    operator_extra_links = (TicketLink(),)
    ticket_page = ""

    def __init__(self, **kwargs: Any) -> None:
        # The policy judges exceptions; of a process that was killed there is none, and Airflow would wait for five minutes.
        super().__init__(retries=RETRIES, retry_policy=BackOff(), retry_delay=FIRST_DELAY, **kwargs)

    def execute(self, context: Any) -> dict[str, Any]:
        message_id, attempt = conf.number(context, "message_id"), conf.number(context, "attempt", least=0)
        ti = context["ti"]
        tries = {"is_patient": ti.try_number <= PATIENT_TRIES, "last_try": ti.try_number > ti.max_tries}
        return counted(self._send, message_id, attempt, **tries)

    def _send(self, world: World, message_id: int, attempt: int, **tries: bool) -> Dispatch:
        from inboxops.composition import sending

        self.ticket_page = sending.ticket_page(world, message_id)
        return sending.send(world, message_id, attempt, **tries)
