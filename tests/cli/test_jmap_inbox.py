"""A mailbox by JMAP, from the command to the ticket and back out."""

from __future__ import annotations

import json

from inboxops.composition import canaries, certifying, sending
from inboxops.composition.world import World
from inboxops.core.outbound import ReplyRequest
from inboxops_lab.testing.jmapserver import Cyrus, JmapClient
from tests.cli.test_inbox_commands import PASSWORD, Shell, shell
from tests.sending.smtpserver import Submission
from tests.stories.conftest import mail

__all__ = ["shell"]
ADDRESS = "help@jmap.example"


def add(shell: Shell, server: Cyrus, tenant: str, *options: str) -> tuple[int, str]:
    where = (f"--ca-file={server.ca_file}", f"--tenant={tenant}", "--name=support")
    done = shell("inbox", "add-jmap", ADDRESS, *where, *options)
    return done.returncode, done.stdout + done.stderr


def test_a_mailbox_is_connected_read_and_answered(shell: Shell, jmap_server: Cyrus, tenant: str, world: World) -> None:
    jmap_server.add_user(ADDRESS, PASSWORD)
    client = JmapClient(jmap_server, ADDRESS, PASSWORD)
    client.add(mail("Hello"), "inbox")
    submission = Submission(port=jmap_server.smtp_port)
    try:
        code, said = add(shell, jmap_server, tenant, "--host=localhost", f"--port={jmap_server.port}")
        assert (code, "1 messages in Inbox" in said) == (0, True), said
        fetched = shell("inbox", "fetch", "support", "--tenant", tenant, "--here")
        assert fetched.returncode == 0, fetched.stderr
        [listed] = map(json.loads, shell("tickets", "--tenant", tenant, "--json").stdout.splitlines())
        assert listed["subject"] == "Hello"
        tenant_id = world.inboxes.tenant_id(tenant)
        accepted = sending.reply(
            world, tenant_id, listed["id"], ReplyRequest(body_text="There you are."), author="Ann", idempotency_key=None
        )
        assert sending.send(world, accepted.message_id, 0).state == "sent"
        assert [b"There you are." in taken.raw for taken in submission.taken] == [True]
        assert len(client.ids("sent")) == 1
    finally:
        submission.stop()
        client.close()


def test_a_canary_leaves_comes_back_opens_no_ticket_and_is_deleted(
    shell: Shell, jmap_server: Cyrus, tenant: str, world: World
) -> None:
    jmap_server.add_user(ADDRESS, PASSWORD)
    client = JmapClient(jmap_server, ADDRESS, PASSWORD)
    submission = Submission(port=jmap_server.smtp_port)
    try:
        code, said = add(shell, jmap_server, tenant, "--host=localhost", f"--port={jmap_server.port}")
        assert code == 0, said
        assert shell("inbox", "set", "support", "--tenant", tenant, "--canary-delete").returncode == 0
        sent = shell("canary", "send", "support", "--tenant", tenant)
        assert "is on its way to help@jmap.example" in sent.stdout, sent.stderr
        (taken,) = submission.taken
        client.add(b"Received: by mx.jmap.example; Sun, 1 Nov 2026 10:00:00 +0000\r\n" + taken.raw, "inbox")
        client.add(mail("Hello"), "inbox")
        assert shell("inbox", "fetch", "support", "--tenant", tenant, "--here").returncode == 0
        (listed,) = map(
            json.loads, shell("canary", "list", "support", "--tenant", tenant, "--json").stdout.splitlines()
        )
        assert (listed["state"], listed["means"], listed["removed"]) == ("back", "it came back in time", None)
        tickets = map(json.loads, shell("tickets", "--tenant", tenant, "--json").stdout.splitlines())
        assert [one["subject"] for one in tickets] == ["Hello"]

        canaries.tend(world)
        shown = json.loads(shell("canary", "show", str(listed["id"]), "--json").stdout)
        assert (shown["removed"], shown["means"]) == ("deleted", "it came back in time; then it was deleted")
        assert [client.with_subject("Hello", "inbox")] == client.ids("inbox")
        assert shell("inbox", "fetch", "support", "--tenant", tenant, "--here").returncode == 0
        made = certifying.certify(world, world.inboxes.tenant_id(tenant))
        assert (made.unaccounted, made.skipped) == (0, 0)
    finally:
        submission.stop()
        client.close()


def test_a_wrong_password_and_a_wrong_mailbox_keep_nothing(shell: Shell, jmap_server: Cyrus, tenant: str) -> None:
    jmap_server.add_user(ADDRESS, "another password")
    where = ("--host=localhost", f"--port={jmap_server.port}")
    code, said = add(shell, jmap_server, tenant, *where)
    assert (code, "refuses the credentials" in said) == (1, True), said
    jmap_server.set_password(ADDRESS, PASSWORD)
    code, said = add(shell, jmap_server, tenant, *where, "--folder=Nowhere")
    assert (code, "Inbox" in said and "Nowhere" in said) == (1, True), said
    assert shell("inbox", "list", "--tenant", tenant, "--json").stdout == ""
