"""The gate: our own mails are all read right, and a labelled folder named by INBOXOPS_MAIL_SET as well as was promised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inboxops.stories.explain import explain_records
from tests.core.scoring import GATE, labels, shares

CORPUS = Path(__file__).parents[1] / "corpus"
NAMED = os.environ.get("INBOXOPS_MAIL_SET")
FOLDERS = [CORPUS, *([Path(NAMED)] if NAMED else [])]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_folder_is_read_as_well_as_promised(folder: Path) -> None:
    found = shares(labels(folder), explain_records([folder]))
    assert {name: share for name, share in found.items() if share < (1.0 if folder == CORPUS else GATE[name])} == {}


def test_our_own_bounces_are_hard_soft_or_delayed_as_labelled() -> None:
    records = {record["path"]: record for record in explain_records([CORPUS])}
    wanted = {label["path"]: label["bounce"]["kind"] for label in labels(CORPUS) if label["bounce"].get("kind")}
    assert wanted == {path: records[path]["bounce_kind"] for path in wanted}


def test_every_verdict_names_its_rule_and_its_evidence() -> None:
    for record in explain_records([CORPUS]):
        assert record["rule"]
        assert record["evidence"]
        assert all(why["where"] and why["value"] for why in record["evidence"]), record["path"]
