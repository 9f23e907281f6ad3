"""What a fetch is tried again for within its run, and what it leaves to the next poll."""

from __future__ import annotations

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction, RetryPolicy
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from inboxops.errors import AuthenticationFailed, OperatorError, TransientError
from inboxops_airflow.operators import Fetch


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


@pytest.mark.parametrize("error", [TransientError("away"), AuthenticationFailed("no"), OperatorError("no", fix="x")])
def test_what_the_fetch_itself_met_is_left_to_the_next_poll(policy: RetryPolicy, error: Exception) -> None:
    assert policy.evaluate(error, 1, 2).action is RetryAction.FAIL
