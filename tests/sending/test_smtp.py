"""How we log in, what we insist on, and what each refusal means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    InvalidInput,
    MessageRefused,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.ports import Account, Envelope
from inboxops.providers.smtp import SmtpSender
from inboxops_lab.testing.certificates import Authority
from tests.sending.smtpserver import SteppedSmtp, Submission

ENVELOPE = Envelope("support@acme.example", ("ann@customer.example",))
RAW = b"Subject: hi\r\n\r\n.leading dot\r\n..two\r\nend\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def serving() -> Iterator[list[Any]]:
    servers: list[Any] = []
    yield servers
    for server in servers:
        server.stop()


def account(
    port: int, authority: Authority | None = None, *, secrets: dict[str, str] | None = None, **more: Any
) -> Account:
    connection = {"smtp_host": "localhost", "smtp_port": port, "smtp_security": "plain", "smtp_auth": "none", **more}
    if authority:
        connection["ca_file"] = str(authority.ca_file)
    return Account(
        1, 1, "support@acme.example", "imap", connection, secrets or {"username": "u", "password": "pässword"}
    )


def send(account: Account, raw: bytes = RAW, envelope: Envelope = ENVELOPE) -> None:
    SmtpSender(connect_seconds=3, reply_seconds=3, final_seconds=3).send(account, raw, envelope, commit=lambda: None)


def test_what_arrives_is_what_was_sent_byte_for_byte(serving: list[Any]) -> None:
    server = Submission()
    serving.append(server)
    send(account(server.port))
    assert server.taken[0].raw == RAW
    assert (server.taken[0].sender, server.taken[0].recipients) == (ENVELOPE.sender, list(ENVELOPE.recipients))


@pytest.mark.parametrize("mechanism", ["plain", "login", "auto"])
def test_login_with_a_password_in_any_script(serving: list[Any], mechanism: str) -> None:
    server = Submission(users={"u": "pässword"})
    serving.append(server)
    send(account(server.port, smtp_auth=mechanism))
    assert server.seen_auth == ["LOGIN" if mechanism == "login" else "PLAIN"]
    assert len(server.taken) == 1


def test_xoauth2_takes_the_token_and_tells_a_refused_one(serving: list[Any]) -> None:
    server = Submission(tokens={"u": "good"})
    serving.append(server)
    send(account(server.port, smtp_auth="xoauth2", secrets={"username": "u", "access_token": "good"}))
    assert len(server.taken) == 1
    with pytest.raises(AuthenticationFailed):
        send(account(server.port, smtp_auth="xoauth2", secrets={"username": "u", "access_token": "stale"}))


def test_a_server_without_log_in_on_this_port_is_told_and_not_taken_for_one_that_knows_us(serving: list[Any]) -> None:
    """Postfix says it so where smtpd_sasl_auth_enable is off (RFC 4954, 4: 503 also for an AUTH out of sequence)."""
    server = SteppedSmtp(lambda step: True, says={"AUTH": b"503 5.5.1 Error: authentication not enabled"})
    serving.append(server)
    with pytest.raises(ServerRefused, match="authentication not enabled"):
        SmtpSender().check(account(server.port, smtp_auth="auto"))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("535 5.7.8 Error: authentication failed: generic failure", TransientError),  # Postfix, saslauthd is away
        ("535 5.7.0 (#AUTH005) Too many bad auth attempts", Throttled),  # Yahoo
        ("535 5.7.8 Error: authentication failed: authentication failure", AuthenticationFailed),
        ("535-5.7.8 Username and Password not accepted", AuthenticationFailed),
        ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled", AuthenticationFailed),
    ],
)
def test_what_a_refused_login_means(serving: list[Any], said: str, error: type[InboxOpsError]) -> None:
    more = b"\r\n535 5.7.8 go on" if said[3] == "-" else b""
    server = SteppedSmtp(lambda step: True, says={"AUTH": said.encode() + more})
    serving.append(server)
    with pytest.raises(InboxOpsError) as caught:
        SmtpSender().check(account(server.port, smtp_auth="plain"))
    assert type(caught.value) is error


def test_a_server_that_takes_no_null_reverse_path_gets_our_address(serving: list[Any]) -> None:
    automatic = Envelope("", ENVELOPE.recipients)
    plain, strict = Submission(), Submission(refuse={"": "550 5.7.1 Sender address is not allowed"})
    serving.extend((plain, strict))
    for server in (plain, strict):
        send(account(server.port), envelope=automatic)
    assert [server.taken[0].sender for server in (plain, strict)] == ["", "support@acme.example"]


@pytest.mark.parametrize(("reply", "error"), [("550 5.7.1 no", MessageRefused), ("451 4.7.1 later", Throttled)])
def test_a_sender_that_is_refused_is_tried_as_no_other(
    serving: list[Any], reply: str, error: type[InboxOpsError]
) -> None:
    server = Submission(refuse={ENVELOPE.sender: reply})
    serving.append(server)
    with pytest.raises(error):
        send(account(server.port))
    assert server.taken == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_tls_with_a_certificate_that_is_checked(serving: list[Any], authority: Authority, security: str) -> None:
    certificate = authority.issue()
    server = Submission(**{"certificate" if security == "tls" else "starttls": certificate})
    serving.append(server)
    send(account(server.port, authority, smtp_security=security))
    assert len(server.taken) == 1
    with pytest.raises(ServerRefused, match="can't be trusted"):
        send(account(server.port, smtp_security=security))
    assert len(server.taken) == 1


def test_without_starttls_nothing_is_said_in_plain_text(serving: list[Any]) -> None:
    server = Submission(users={"u": "pässword"})
    serving.append(server)
    with pytest.raises(ServerRefused, match="never fallen back"):
        send(account(server.port, smtp_security="starttls", smtp_auth="auto"))
    assert server.seen_auth == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"smtp_host": ""}, "smtp_host"),
        ({"smtp_security": "ssl"}, "smtp_security"),
        ({"smtp_auth": "cram"}, "smtp_auth"),
        ({"smtp_port": "x"}, "smtp_port"),
        ({"smtp_auth": "xoauth2"}, "access_token"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        send(account(25, **changes))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("550 5.7.1 no", MessageRefused),
        ("552 5.3.4 too big", MessageRefused),
        ("451 4.7.1 greylisted", Throttled),
        ("421 4.7.0 too many", Throttled),
        ("431 odd", TransientError),
    ],
)
def test_only_a_five_is_for_good(serving: list[Any], reply: str, error: type[InboxOpsError]) -> None:
    server = Submission(answer=reply)
    serving.append(server)
    with pytest.raises(InboxOpsError) as caught:
        send(account(server.port))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("replies", "error"), [(["550 no", "550 no"], MessageRefused), (["550 no", "450 later"], TransientError)]
)
def test_when_nobody_is_taken_one_soft_refusal_keeps_it_alive(
    serving: list[Any], replies: list[str], error: type[InboxOpsError]
) -> None:
    people = ("a@b.example", "c@d.example")
    server = Submission(refuse=dict(zip(people, replies, strict=True)))
    serving.append(server)
    with pytest.raises(InboxOpsError) as caught:
        send(account(server.port), envelope=Envelope("s@acme.example", people))
    assert type(caught.value) is error


@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "body"])
def test_a_connection_lost_before_the_end_of_data_did_not_send(serving: list[Any], step: str) -> None:
    server = SteppedSmtp(lambda at: at != step)
    serving.append(server)
    committed: list[bool] = []

    def refuse_to_end() -> None:
        committed.append(True)
        raise TransientError("lost the lease")

    with pytest.raises(TransientError):
        SmtpSender(connect_seconds=3, reply_seconds=3).send(account(server.port), RAW, ENVELOPE, commit=refuse_to_end)
    assert server.taken == []
    assert not committed or step == "body"


def test_an_address_outside_ascii_needs_smtputf8(serving: list[Any]) -> None:
    raw = "To: jürgen@customer.example\r\n\r\nhi\r\n".encode()
    envelope = Envelope("support@acme.example", ("jürgen@customer.example",))
    modern, old = Submission(), Submission(utf8=False)
    serving.extend((modern, old))
    send(account(modern.port), raw, envelope)
    assert modern.taken[0].recipients == ["jürgen@customer.example"]
    with pytest.raises(MessageRefused, match="SMTPUTF8"):
        send(account(old.port), raw, envelope)


def test_plain_text_where_tls_is_spoken_is_told(serving: list[Any]) -> None:
    server = SteppedSmtp(lambda step: True)
    serving.append(server)
    with pytest.raises(ServerRefused, match="plain text"):
        send(account(server.port, smtp_security="tls"))
