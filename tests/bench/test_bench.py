"""The bench measures what it says, on a size that CI has time for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from inboxops.core.mime import parse
from inboxops_lab.bench.corpus import corpus
from inboxops_lab.bench.meter import cpu_seconds
from inboxops_lab.bench.poll import Measured
from inboxops_lab.testing.mailserver import dovecot_binary
from inboxops_local.stack.layout import command

needs_dovecot = pytest.mark.skipif(dovecot_binary() is None, reason="needs Dovecot, which is not installed")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def bench(*arguments: str, tmp_path: Path, seconds: float = 280) -> dict[str, Any]:
    done = subprocess.run(
        command("bench", *arguments, "--json"),
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "INBOXOPS_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_naive_poll_is_compared_at_as_many_inboxes() -> None:
    naive = Measured(
        inboxes=100, polls=100, expected=100, cpu_seconds_per_poll=1.9, marginal_cpu_seconds_per_poll=1.45, cores={},
        cores_without_inboxes=0.15, lateness_p50_seconds=5, lateness_p95_seconds=9, stack_pss_mb=1300,
        blocked_loop_warnings=0, blocked_loop_warnings_before=0, seconds_until_known=3,
    )  # fmt: skip
    assert naive.with_as_many(100, every=5) == 1.9
    assert naive.with_as_many(1_000, every=5) == pytest.approx(1.45 + 0.15 * 300 / 1_000)


def test_the_corpus_is_the_same_for_the_same_seed_and_every_id_its_own() -> None:
    one, again, other = (list(corpus(400, seed=seed, now=NOW)) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    ids = [parse(mail.raw).message_id for mail in one]
    assert len(set(ids)) >= 395, "but for the few demonstration mails that have no id that can be read"


def test_the_corpus_is_as_mixed_as_it_says() -> None:
    mails = list(corpus(1000, now=NOW))
    read = [parse(mail.raw) for mail in mails]
    with_files = sum(bool(message.attachments) for message in read)
    assert 0.18 < with_files / len(read) < 0.4
    assert sum(len(mail.raw) > 100_000 for mail in mails) > 20
    assert max(len(mail.raw) for mail in mails) > 600_000
    assert sum(message.in_reply_to != () for message in read) > 200


def test_cpu_time_of_children_that_ended_counts() -> None:
    before = cpu_seconds([os.getpid()])
    subprocess.run([shutil.which("python3") or "python3", "-c", "sum(range(10_000_000))"], check=True)
    spent = psutil.Process().cpu_times()
    assert cpu_seconds([os.getpid()]) - before > 0.05
    assert spent.children_user > 0


@needs_dovecot
def test_ingest_files_every_message_and_says_what_it_cost(tmp_path: Path) -> None:
    result = bench("ingest", "--messages", "120", "--no-rivals", tmp_path=tmp_path)
    assert result["messages"] == 120
    assert sum(result["states"].values()) == 120
    assert result["messages_per_second"] > 0
    assert set(result["stage_seconds"]) == {"fetch", "classify", "persist"}
    assert set(result["comparators"]) == {"dovecot_raw_fetch"}
    assert result["bytes"] > 120 * 1000
    assert set(result["peak_rss_mb"]) == {"fetch", "classify", "classify worker", "persist"}
    assert min(result["peak_rss_mb"].values()) > 10


@needs_dovecot
def test_the_log_of_a_backlog_is_written_as_airflow_does_and_has_its_price(tmp_path: Path) -> None:
    result = bench("logs", "--messages", "60", "--rounds", "1", tmp_path=tmp_path)
    assert 100 < result["lines"] < 150, "of each kind fifty at most"
    assert result["bytes"] > 100 * result["lines"]
    assert 0 < result["line_cpu_seconds"] < 0.01
    assert 0 < result["share"] < 1


@needs_dovecot
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_latency_of_a_mail_by_idle_and_by_event(tmp_path: Path) -> None:
    result = bench("latency", "--samples", "2", tmp_path=tmp_path)
    for name in (
        "idle_p50_seconds",
        "idle_p95_seconds",
        "event_p50_seconds",
        "event_p95_seconds",
        "api_to_task_p50_seconds",
    ):
        assert 0 < result[name] < 60


@needs_dovecot
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_full_mailboxes_are_drained_side_by_side_and_a_small_one_beside_them_has_its_turn(tmp_path: Path) -> None:
    result = bench(
        *("drain", "--inboxes", "2", "--messages", "60", "--workers", "1"),
        tmp_path=tmp_path,
        seconds=560,
    )
    assert (result["inboxes"], result["messages"], list(result["workers"])) == (2, 60, ["1"])
    alone = result["workers"]["1"]
    assert alone["messages_per_second"] > 0
    assert 0 < alone["done_seconds"][0] < alone["done_seconds"][1]
    assert alone["small_mails"] >= 1
    assert 0 < alone["small_median_seconds"] <= alone["small_worst_seconds"]


@needs_dovecot
def test_a_full_tenant_goes_to_another_installation(tmp_path: Path) -> None:
    result = bench("move", "--messages", "60", tmp_path=tmp_path)
    assert result["rows"] > 60
    assert result["objects"] > 0
    assert 0 < result["held_seconds"] < result["seconds"]


@needs_dovecot
def test_growth_fills_the_database_and_compares(tmp_path: Path) -> None:
    result = bench(
        *("grow", "--size", "3000", "--size", "9000", "--batch", "50", "--rounds", "1"),
        tmp_path=tmp_path,
    )
    assert result["sizes"] == [3000, 9000]
    assert result["cost_seconds"].keys() == {"3000", "9000"}
    assert result["cost_ratio"] > 0


@needs_dovecot
def test_a_preview_behind_a_replay_finds_nothing(tmp_path: Path) -> None:
    result = bench("replay", "--messages", "150", tmp_path=tmp_path)
    assert 100 < result["messages"] <= 150
    assert result["differing"] > 0
    assert result["after"] == 0
    assert result["preview_per_cpu_second"] > 0
    assert 10 < result["preview_peak_mb"] < 300


def test_whole_threads_are_read_at_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    result = bench("thread", "--messages", "20", "--rate", "20", "--seconds", "2", tmp_path=tmp_path)
    assert 0 < result["requests_per_second"] <= 21
    assert 0 < result["answer_p50_seconds"] <= result["answer_p95_seconds"]
    assert result["answer_kb"] > 20


def test_a_certificate_accounts_for_every_mail_finds_every_fault_and_says_what_was_simulated(tmp_path: Path) -> None:
    result = bench("certificate", "--inboxes", "3", "--mails", "100", "--faults", "2", tmp_path=tmp_path)
    assert result["said"].startswith("100 mails since ")
    assert result["said"].endswith(", each accounted for")
    assert result["objects"] > 25
    assert result["seconds"] > 0
    assert result["peak_rss_mb"] > 10
    assert "lists" in result["simulated"]
    assert result["faults"] == {"mail_missing": 4, "object_missing": 2, "object_altered": 2, "mail_doubled": 2}
    assert (result["found"], result["false_alarms"]) == (10, 0)


@needs_dovecot
@pytest.mark.timeout(600)
def test_looks_are_in_time_and_find_every_mail_and_none_is_done_twice_by_two_who_look(tmp_path: Path) -> None:
    arguments = ("look", "--inboxes", "150", "--every", "1", "--minutes", "1", "--watchers", "2", "--held", "0")
    result = bench(*arguments, tmp_path=tmp_path, seconds=560)
    assert result["inboxes_looked_at"] == 150
    assert result["looks"] >= 150
    assert result["double_looks"] == 0
    assert result["mails_found"] == result["mails_delivered"] == 100
    assert result["watcher_pss_mb"] > 50
    assert "simulated" in result["simulated"]
