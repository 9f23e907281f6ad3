"""What a fetch is tried again for within its run, and what it leaves to the next poll."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction, RetryPolicy
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from inboxops.errors import AuthenticationFailed, OperatorError, ServiceAway, Throttled, TransientError
from inboxops_airflow.operators import Fetch
from inboxops_airflow.sending import FIRST_DELAY, LONGEST_DELAY, BackOff


@pytest.fixture
def policy() -> RetryPolicy:
    fetch = Fetch(task_id="fetch", inbox_id=1)
    assert fetch.retries == 1
    assert fetch.retry_policy is not None
    return fetch.retry_policy


def test_counts_that_airflow_did_not_take_are_handed_over_once_more(policy: RetryPolicy) -> None:
    """Its mail is durable by then, and would be no ticket until the next poll."""
    away = AirflowRuntimeError(
        ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"message": "Connection refused"})
    )
    assert policy.evaluate(away, 1, 2).action is RetryAction.DEFAULT


PROVIDERS = [TransientError("away"), Throttled("later"), AuthenticationFailed("no"), OperatorError("no", fix="x")]


@pytest.mark.parametrize("error", PROVIDERS)
def test_what_the_fetch_met_at_the_provider_is_left_to_the_next_poll(policy: RetryPolicy, error: Exception) -> None:
    assert policy.evaluate(error, 1, 2).action is RetryAction.FAIL


def test_a_service_of_our_own_that_was_waited_for_in_vain_is_waited_for_once_more(policy: RetryPolicy) -> None:
    decision = policy.evaluate(ServiceAway("the application database is away"), 1, 1)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("asked", "delay"),
    [(None, FIRST_DELAY * 8), (1, FIRST_DELAY * 8), (600, timedelta(minutes=10)), (86_400, LONGEST_DELAY)],
)
def test_a_server_that_asks_for_patience_gets_more_of_it_and_never_less(asked: float | None, delay: timedelta) -> None:
    decision = BackOff().evaluate(TransientError("later", retry_after=asked), 4, 12)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == delay
