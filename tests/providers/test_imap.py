"""What is IMAP's own: how connections are secured, what servers say when they refuse, and answers nobody expects."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inboxops.core.model import Batch, Cursor, Removed, Reused
from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    InvalidInput,
    MailboxNotFound,
    NotAllowed,
    OperatorError,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.ports import Account, FetchLimits, Trace
from inboxops.providers import provider
from inboxops.providers.imap import ImapProvider
from inboxops.providers.smtp import SmtpSender
from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.mailserver import Dovecot, MailServer
from inboxops_lab.testing.processes import free_ports
from inboxops_lab.testing.proxy import Proxy
from tests.providers.kits import ImapKit
from tests.providers.test_contract import keys, left
from tests.scripted import Answer, ScriptedImap

LIMITS = FetchLimits()
QUICK = ImapProvider(connect_seconds=5, read_seconds=5)
USER, PASSWORD = "imap@example.org", "correct horse"


@pytest.fixture(scope="module")
def server(mail_server: MailServer) -> MailServer:
    mail_server.add_user(USER, PASSWORD)
    return mail_server


def account(secrets: Mapping[str, str] | None = None, **connection: Any) -> Account:
    return Account(
        inbox_id=1,
        tenant_id=1,
        email_address=USER,
        connection_type="imap",
        connection={"host": "localhost", **connection},
        secrets=secrets or {"username": USER, "password": PASSWORD},
    )


def read(of: Account, cursor: Cursor | None = None, limits: FetchLimits = LIMITS) -> list[Batch]:
    with QUICK.open(of) as mailbox:
        return list(mailbox.batches(cursor or Cursor(), limits))


def refused(of: Account) -> InboxOpsError:
    """The error that reading leads to: one line, and it ends by saying what to do."""
    with pytest.raises(InboxOpsError) as caught:
        read(of)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


@contextmanager
def scripted(
    answers: Mapping[str, Answer | None] | None = None, **options: Any
) -> Iterator[tuple[ScriptedImap, Account]]:
    with ScriptedImap(answers, **options) as script:
        yield script, account(host="127.0.0.1", port=script.port, security="plain")


# The registry


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"Known connection types: .*imap"):
        provider("pop3")


def test_asking_for_the_registry_imports_no_client_library() -> None:
    code = "import sys, inboxops.providers; print({'imapclient', 'googleapiclient', 'msal'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_an_account_shows_no_secret() -> None:
    assert PASSWORD not in repr(account())


# How a connection is secured


@pytest.mark.parametrize("auth", ["login", "plain", None])
@pytest.mark.parametrize("security", ["tls", "starttls", "plain"])
def test_every_way_in(server: MailServer, security: str, auth: str | None) -> None:
    port = server.port_imaps if security == "tls" else server.port_imap
    assert read(account(port=port, security=security, auth=auth, ca_file=server.ca_file))[-1].cursor.uid_validity


def test_a_password_in_any_script_goes_in(server: MailServer) -> None:
    secrets = {"username": "scripts@example.org", "password": 'pässwörd "x" \\ 密码'}
    server.add_user(secrets["username"], secrets["password"])
    assert read(account(secrets, port=server.port_imaps, ca_file=server.ca_file))


def test_xoauth2_takes_a_good_token_and_tells_a_stale_one(dovecot: Dovecot) -> None:
    dovecot.add_user(USER, PASSWORD)
    of = account(port=dovecot.port_imaps, ca_file=dovecot.ca_file, auth="xoauth2")
    good = {"username": USER, "access_token": dovecot.access_token(USER)}
    stale = {"username": USER, "access_token": dovecot.access_token(USER, lives_seconds=-60)}
    assert read(replace(of, secrets=good))
    assert isinstance(refused(replace(of, secrets=stale)), AuthenticationFailed)


def test_xoauth2_is_not_tried_where_it_is_not_offered() -> None:
    with scripted() as (script, of):
        token = replace(of, connection={**of.connection, "auth": "xoauth2"}, secrets={"access_token": "secret-token"})
        assert isinstance(refused(token), ServerRefused)
        assert "secret-token" not in str(script.heard)


def test_starttls_that_is_not_offered_never_falls_back() -> None:
    with scripted() as (script, of):
        error = refused(replace(of, connection={**of.connection, "security": "starttls"}))
        assert isinstance(error, ServerRefused)
        assert "does not offer STARTTLS" in str(error)
        assert not any("LOGIN" in line for line in script.heard)


@pytest.mark.parametrize("answer", ["{tag} NO not now", "{tag} BAD what?"])
def test_starttls_that_is_refused_never_falls_back(answer: str) -> None:
    with scripted({"STARTTLS": answer}, capabilities="IMAP4rev1 STARTTLS") as (script, of):
        error = refused(replace(of, connection={**of.connection, "security": "starttls"}))
        assert isinstance(error, ServerRefused)
        assert not any("LOGIN" in line for line in script.heard)


def test_a_greeting_that_claims_to_be_logged_in_does_not_get_around_starttls() -> None:
    with scripted(greeting="* PREAUTH welcome", capabilities="IMAP4rev1 STARTTLS") as (script, of):
        error = refused(replace(of, connection={**of.connection, "security": "starttls"}))
        assert isinstance(error, ServerRefused)
        assert not any("EXAMINE" in line for line in script.heard)


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        ({"expired": True}, "has expired"),
        ({"host": "mail.example.net"}, "is for another host name"),
    ],
)
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_does_not_fit(
    server: MailServer, certificate: dict[str, Any], says: str, security: str
) -> None:
    bad = server.authority.issue("bad", **certificate)
    options: dict[str, Any] = {"certificate": bad} if security == "tls" else {"capabilities": "IMAP4rev1 STARTTLS"}
    with ScriptedImap(**options, starttls=None if security == "tls" else bad) as script:
        error = refused(account(port=script.port, security=security, ca_file=server.ca_file))
    assert isinstance(error, ServerRefused)
    assert says in str(error)


def test_a_certificate_of_an_unknown_authority(server: MailServer) -> None:
    error = refused(account(port=server.port_imaps))
    assert isinstance(error, ServerRefused)
    assert "ca_file" in str(error)


def test_a_plain_text_server_on_the_tls_port(server: MailServer) -> None:
    error = refused(account(port=server.port_imap, security="tls", ca_file=server.ca_file))
    assert isinstance(error, ServerRefused)
    assert "plain text" in str(error)


def test_a_tls_server_on_the_plain_port_is_a_time_out_with_a_hint(server: MailServer) -> None:
    impatient = ImapProvider(connect_seconds=0.5, read_seconds=1)
    with (
        pytest.raises(TransientError, match="security"),
        impatient.open(account(port=server.port_imaps, security="starttls", ca_file=server.ca_file)),
    ):
        pass


def test_a_ca_file_that_cannot_be_read(server: MailServer) -> None:
    error = refused(account(port=server.port_imaps, ca_file="no/such/file.pem"))
    assert isinstance(error, OperatorError)
    assert "no/such/file.pem" in str(error)


def test_a_renewed_ca_file_is_noticed(server: MailServer, tmp_path: Any) -> None:
    ca_file = tmp_path / "ca.pem"
    other = tmp_path / "other"
    other.mkdir()
    ca_file.write_bytes(Authority(other).ca_file.read_bytes())
    of = account(port=server.port_imaps, ca_file=str(ca_file))
    assert isinstance(refused(of), ServerRefused)
    ca_file.write_bytes(server.authority.ca_file.read_bytes())
    assert read(of)


# Where nobody answers


def test_an_unknown_host() -> None:
    error = refused(account(host="imap.no-such-host.invalid"))
    assert isinstance(error, TransientError)
    assert "'imap.no-such-host.invalid' is unknown" in str(error)


def test_a_closed_port() -> None:
    [port] = free_ports(1)
    error = refused(account(port=port))
    assert isinstance(error, TransientError)
    assert f"nothing listens on port {port}" in str(error)


@pytest.mark.parametrize("command", ["CAPABILITY", "LOGIN", "STATUS", "EXAMINE", "UID FETCH"])
def test_a_server_that_goes_silent_or_away_is_transient_at_every_step(command: str) -> None:
    def silence(_: str) -> str:
        return "* OK still thinking"

    for answer in (silence, None):
        with scripted({command: answer, "UID SEARCH": "* SEARCH 1\r\n{tag} OK done"}) as (_, of):
            impatient = ImapProvider(connect_seconds=0.3, read_seconds=0.3)
            with pytest.raises(TransientError), impatient.open(of) as mailbox:
                mailbox.has_news(Cursor(uid_validity=7, last_uid=0))
                list(mailbox.batches(Cursor(uid_validity=7, last_uid=0), LIMITS))


# What servers say when they refuse


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("NO [AUTHENTICATIONFAILED] Authentication failed.", AuthenticationFailed),
        ("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", AuthenticationFailed),
        ("NO [ALERT] Application-specific password required (Failure)", AuthenticationFailed),
        ("NO [WEBALERT https://accounts.example.com/] Web login required.", AuthenticationFailed),
        ("NO [EXPIRED] That password isn't valid any more", AuthenticationFailed),
        ("NO [AUTHORIZATIONFAILED] No such authorization-ID", AuthenticationFailed),
        ("NO [CONTACTADMIN] Account locked", AuthenticationFailed),
        ("NO LOGIN failed.", AuthenticationFailed),
        ("NO AUTHENTICATE failed.", AuthenticationFailed),
        ("NO Invalid login or password, please try again", AuthenticationFailed),
        ("NO [ALERT] Too many simultaneous connections. (Failure)", Throttled),
        ("NO [LIMIT] Too many logins", Throttled),
        ("NO [THROTTLED] Rate limit hit", Throttled),
        ("NO [OVERQUOTA] Account exceeded command or bandwidth limits", Throttled),
        ("NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", Throttled),
        ("NO [UNAVAILABLE] Temporary authentication failure.", TransientError),
        ("NO [INUSE] Mailbox in use", TransientError),
        ("NO [SERVERBUG] Internal error occurred.", TransientError),
        ("NO Server unavailable, try again later", TransientError),
        ("NO User is authenticated but not connected.", TransientError),
        ("NO Login failed: generic failure", TransientError),  # Cyrus: SASL_FAIL, its password server is away
        ("BAD User is authenticated but not connected.", TransientError),
        ("BAD Command argument error", TransientError),
        ("NO [PRIVACYREQUIRED] Encrypt first", ServerRefused),
    ],
)
def test_what_a_refused_login_means(said: str, kind: type[InboxOpsError]) -> None:
    with scripted({"LOGIN": f"{{tag}} {said}"}) as (_, of):
        assert type(refused(of)) is kind


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        ("* BYE [ALERT] Too many connections from your address", Throttled),
        ("* BYE [UNAVAILABLE] shutting down", TransientError),
        ("220 smtp.example.com ESMTP", TransientError),
        ("HTTP/1.1 400 Bad Request", TransientError),
    ],
)
def test_what_a_strange_greeting_means(greeting: str, kind: type[InboxOpsError]) -> None:
    with scripted(greeting=greeting) as (_, of):
        assert type(refused(of)) is kind


def test_a_bye_in_the_middle_says_why() -> None:
    with scripted({"EXAMINE": "* BYE [ALERT] Server is shutting down for maintenance"}) as (_, of):
        error = refused(of)
    assert isinstance(error, TransientError)
    assert "maintenance" in str(error)


def test_a_server_without_login_on_plain_text() -> None:
    with scripted(capabilities="IMAP4rev1 LOGINDISABLED") as (script, of):
        assert isinstance(refused(of), ServerRefused)
        assert not any("LOGIN" in line for line in script.heard)


def test_a_username_cannot_smuggle_a_command() -> None:
    with scripted() as (script, of):
        smuggled = replace(of, secrets={"username": "a b\r\nX DELETE INBOX", "password": "p"})
        assert isinstance(refused(smuggled), InvalidInput)
        assert script.heard == []


@pytest.mark.parametrize(
    ("connection", "names"),
    [
        ({"host": ""}, "host"),
        ({"host": "imap.example.com/inbox"}, "host"),
        ({"host": "a\0b"}, "host"),
        ({"host": "úȾ$PSª9挰W\U00104538Ġ\U000f28e3"}, "host"),
        ({"host": "x" * 300}, "host"),
        ({"port": "imaps"}, "port"),
        ({"port": 70000}, "port"),
        ({"security": "ssl"}, "tls, starttls, plain"),
        ({"auth": "ntlm"}, "login"),
    ],
)
def test_a_wrong_connection_names_the_field(connection: dict[str, Any], names: str) -> None:
    error = refused(account(**connection))
    assert isinstance(error, InvalidInput)
    assert names in str(error)


def test_a_missing_password_is_asked_for() -> None:
    assert isinstance(refused(account({"username": USER})), InvalidInput)


# Folders


def test_a_missing_folder_is_the_tenants_business(server: MailServer) -> None:
    of = account(port=server.port_imaps, ca_file=server.ca_file, folder="Never made")
    assert isinstance(refused(of), MailboxNotFound)
    with QUICK.open(of) as mailbox, pytest.raises(MailboxNotFound):
        mailbox.has_news(Cursor(uid_validity=1, last_uid=1))


@pytest.mark.parametrize("folder", ["Größe & Maß/日本語", 'quo"ted \\ and spaced', "100% *"])
def test_folders_of_any_name(dovecot: Dovecot, folder: str) -> None:
    dovecot.add_user("folders@example.org", PASSWORD)
    with dovecot.client("folders@example.org") as client:
        if not client.folder_exists(folder):
            client.create_folder(folder)
        client.append(folder, b"Subject: x\r\n\r\nx\r\n")
    secrets = {"username": "folders@example.org", "password": PASSWORD}
    [batch] = read(account(secrets, port=dovecot.port_imaps, ca_file=dovecot.ca_file, folder=folder))
    assert [message.key.rsplit("/", 2)[0] for message in batch.messages] == [folder]


def test_a_folder_without_lasting_uids_is_refused() -> None:
    examine = "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* NO [UIDNOTSTICKY] no UIDs\r\n{tag} OK done"
    for answer in (examine, "* 1 EXISTS\r\n{tag} OK done"):
        with scripted({"EXAMINE": answer}) as (_, of):
            assert isinstance(refused(of), ServerRefused)


def test_a_sent_folder_is_made_where_the_accounts_own_folders_are(dovecot: Dovecot) -> None:
    user = "below@example.org"
    dovecot.add_user(user, PASSWORD)
    dovecot.put_below(user, "INBOX/")
    of = account({"username": user, "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file)
    SmtpSender().keep_copy(of, b"Message-ID: <ours@example.org>\r\n\r\nHello\r\n")
    assert SmtpSender().find_sent(of, "ours@example.org", since=datetime.now(UTC)) == Trace(True)


# Cursors and answers


EXAMINE_WITHOUT_UIDNEXT = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n{tag} OK [READ-ONLY] done"


def test_n_plus_1_to_star_names_the_last_message_and_is_not_believed() -> None:
    answers = {
        "EXAMINE": EXAMINE_WITHOUT_UIDNEXT,
        "STATUS": '* STATUS "INBOX" (UIDVALIDITY 7)\r\n{tag} OK done',
        "UID SEARCH": "* SEARCH 30\r\n{tag} OK done",
    }
    with scripted(answers) as (script, of), QUICK.open(of) as mailbox:
        cursor = Cursor(uid_validity=7, last_uid=30)
        assert not mailbox.has_news(cursor)
        assert list(mailbox.batches(cursor, LIMITS)) == []
        assert any("31:*" in line for line in script.heard)
        assert mailbox.has_news(Cursor(uid_validity=7, last_uid=29))


def test_old_mail_of_a_server_without_uidnext_is_not_news_behind_a_first_sync_that_found_none() -> None:
    answers: dict[str, Answer | None] = {
        "EXAMINE": EXAMINE_WITHOUT_UIDNEXT,
        "UID SEARCH": lambda asked: f"* SEARCH{'' if 'SINCE' in asked else ' 10 20 30'}\r\n{{tag}} OK done",
    }
    with scripted(answers) as (_, of):
        [batch] = read(of)
        assert (batch.messages, batch.cursor) == ((), Cursor(uid_validity=7, last_uid=30))
        assert read(of, batch.cursor) == []


def test_dovecots_own_star_is_not_believed_either(dovecot: Dovecot) -> None:
    dovecot.add_user("star@example.org", PASSWORD)
    for number in range(3):
        dovecot.append("star@example.org", b"Subject: %d\n\nx\n" % number)
    of = account(
        {"username": "star@example.org", "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file
    )
    cursor = read(of)[-1].cursor
    with dovecot.client("star@example.org") as client:
        client.select_folder("INBOX", readonly=True)
        assert client.search(["UID", f"{cursor.last_uid + 1 if cursor.last_uid else 1}:*"]) == [cursor.last_uid]
    assert read(of, cursor) == []


def test_a_quiet_poll_is_one_status_and_opens_no_folder() -> None:
    status = '* STATUS "INBOX" (UIDNEXT 31 UIDVALIDITY 7)\r\n{tag} OK done'
    with scripted({"STATUS": status}) as (script, of), QUICK.open(of) as mailbox:
        said = len(script.heard)
        assert not mailbox.has_news(Cursor(uid_validity=7, last_uid=30))
        assert [line.split()[1] for line in script.heard[said:]] == ["STATUS"]
        assert mailbox.has_news(Cursor(uid_validity=8, last_uid=30))


def test_bodies_are_peeked_at_many_in_one_command() -> None:
    def fetch(arguments: str) -> str:
        if "BODY.PEEK[]" in arguments:
            return "".join(f"* {n} FETCH (UID {n} BODY[] {{3}}\r\nab{n})\r\n" for n in (1, 2, 3)) + "{tag} OK done"
        date = '"01-Feb-2026 10:00:00 +0100"'
        return (
            "".join(f"* {n} FETCH (UID {n} RFC822.SIZE 3 INTERNALDATE {date})\r\n" for n in (1, 2, 3)) + "{tag} OK done"
        )

    answers: dict[str, Answer | None] = {
        "EXAMINE": EXAMINE_WITHOUT_UIDNEXT,
        "UID SEARCH": "* SEARCH 1 2 3\r\n{tag} OK done",
        "UID FETCH": fetch,
    }
    with scripted(answers) as (script, of):
        [batch] = read(of, Cursor(uid_validity=7, last_uid=0))
    assert [message.raw for message in batch.messages] == [b"ab1", b"ab2", b"ab3"]
    assert batch.messages[0].received_at == datetime(2026, 2, 1, 9, tzinfo=UTC)
    assert batch.messages[0].key == "INBOX/7/1"
    fetches = [line for line in script.heard if "FETCH" in line]
    assert len(fetches) == 2
    assert not any("BODY[]" in line or "RFC822 " in line for line in fetches)
    assert not any(line.split()[1] in {"SELECT", "STORE"} for line in script.heard)


def answering(bodies: Mapping[int, str], *, still_there: str, refuse_many: bool = True) -> dict[str, Answer | None]:
    """A folder of three messages whose bodies come one by one, as `bodies` has it."""

    def fetch(arguments: str) -> str:
        uids = [int(uid) for uid in arguments.split()[0].split(",")]
        if "RFC822.SIZE" in arguments:
            return "".join(f"* {uid} FETCH (UID {uid} RFC822.SIZE 3)\r\n" for uid in uids) + "{tag} OK done"
        if len(uids) > 1 and refuse_many:
            return "{tag} NO Some messages could not be fetched"
        return bodies[uids[0]]

    def search(arguments: str) -> str:
        return f"* SEARCH {still_there if ',' in arguments or ':' not in arguments else '1 2 3'}\r\n{{tag}} OK done"

    return {"EXAMINE": EXAMINE_WITHOUT_UIDNEXT, "UID FETCH": fetch, "UID SEARCH": search}


def test_one_message_that_the_server_cannot_deliver_stops_no_other() -> None:
    bodies = {
        1: "* 1 FETCH (UID 1 BODY[] {3}\r\nab1)\r\n{tag} OK done",
        2: "{tag} NO Message is damaged",
        3: "* 3 FETCH (UID 3 BODY[] {3}\r\nab3)\r\n{tag} OK done",
    }
    with scripted(answering(bodies, still_there="1 2 3")) as (_, of):
        [batch] = read(of, Cursor(uid_validity=7, last_uid=0))
    assert [message.raw for message in batch.messages] == [b"ab1", None, b"ab3"]
    assert "damaged" in batch.messages[1].refusal
    assert batch.cursor.last_uid == 3


def test_a_server_in_trouble_refuses_no_message() -> None:
    for trouble in ("{tag} NO [UNAVAILABLE] Try later", "{tag} NO [LIMIT] Enough", "{tag} NO Not today"):
        answers = answering(dict.fromkeys((1, 2, 3), trouble), still_there="1 2 3")
        with scripted(answers) as (_, of), pytest.raises(TransientError):
            read(of, Cursor(uid_validity=7, last_uid=0))


def test_the_name_above_sent_folders_is_none_itself() -> None:
    """RFC 9051, 7.3.1: \\Noselect. "Sent" may stand there only because of folders below it."""
    listed = (
        '* LIST (\\Noselect) "/" "Sent"\r\n* LIST () "/" "Sent/2025"\r\n* LIST () "/" "Sent Items"\r\n{tag} OK done'
    )
    with scripted({"LIST": listed, "UID SEARCH": "* SEARCH 4\r\n{tag} OK done"}) as (script, of):
        assert SmtpSender().find_sent(of, "ours@example.org", since=datetime.now(UTC)).sent
    assert next(line for line in script.heard if "EXAMINE" in line).endswith('EXAMINE "Sent Items"')


@pytest.mark.parametrize("nothing", ['""', "NIL", "{0}\r\n"])
def test_nothing_where_a_message_should_be_is_not_taken_for_it(nothing: str) -> None:
    bodies = {uid: f"* {uid} FETCH (UID {uid} BODY[] {{3}}\r\nab{uid})\r\n{{tag}} OK done" for uid in (1, 3)}
    bodies[2] = f"* 2 FETCH (UID 2 BODY[] {nothing})\r\n{{tag}} OK done"
    with scripted(answering(bodies, still_there="1 2 3")) as (_, of):
        [batch] = read(of, Cursor(uid_validity=7, last_uid=0))
    assert [message.raw for message in batch.messages] == [b"ab1", None, b"ab3"]
    assert "does not deliver" in batch.messages[1].refusal


def test_a_server_that_delivers_nothing_of_anything_is_in_trouble() -> None:
    bodies = {uid: f'* {uid} FETCH (UID {uid} BODY[] "")\r\n{{tag}} OK done' for uid in (1, 2, 3)}
    with scripted(answering(bodies, still_there="1 2 3")) as (_, of), pytest.raises(TransientError, match="none of 3"):
        read(of, Cursor(uid_validity=7, last_uid=0))


def test_flags_that_come_unasked_and_answers_in_any_order_are_no_messages() -> None:
    def fetch(arguments: str) -> str:
        if "RFC822.SIZE" in arguments:
            return (
                "* 2 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (RFC822.SIZE 3 UID 12)\r\n* 4 EXISTS\r\n* 1 RECENT\r\n"
                "* 9 EXPUNGE\r\n* OK [ALERT] Disk is nearly full\r\n"
                "* 1 FETCH (UID 11 RFC822.SIZE 3 INTERNALDATE NIL FLAGS ())\r\n{tag} OK done"
            )
        return (
            "* 11 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (BODY[] {3}\r\nab2 UID 12)\r\n"
            '* 1 FETCH (UID 11 FLAGS (x) BODY[] "ab1")\r\n* 11 FETCH (FLAGS ())\r\n{tag} OK done'
        )

    answers: dict[str, Answer | None] = {
        "EXAMINE": EXAMINE_WITHOUT_UIDNEXT,
        "UID SEARCH": "* 4 EXISTS\r\n* SEARCH 12 11\r\n{tag} OK done",
        "UID FETCH": fetch,
    }
    with scripted(answers) as (_, of):
        [batch] = read(of, Cursor(uid_validity=7, last_uid=10))
    assert [(message.key, message.raw) for message in batch.messages] == [
        ("INBOX/7/11", b"ab1"),
        ("INBOX/7/12", b"ab2"),
    ]


def test_a_folder_of_hundreds_of_thousands_is_searched_in_windows() -> None:
    def search(arguments: str) -> str:
        if "," in arguments:
            return "* SEARCH\r\n{tag} OK done"  # and all of them are gone when their bodies are asked for
        low, high = (int(uid) for uid in arguments.split()[1].split(":"))
        assert high - low < 50_000  # eleven bytes a UID must stay under imaplib's million a line
        return (
            "* SEARCH" + "".join(f" {uid}" for uid in (7, 120_000, 299_999) if low <= uid <= high) + "\r\n{tag} OK done"
        )

    examine = "* 250000 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 300000] next\r\n{tag} OK done"
    answers: dict[str, Answer | None] = {"EXAMINE": examine, "UID SEARCH": search, "UID FETCH": "{tag} OK done"}
    with scripted(answers) as (script, of):
        batches = read(of, Cursor(uid_validity=7, last_uid=6))
    assert batches[-1].cursor == Cursor(uid_validity=7, last_uid=299_999)
    assert sum("UID SEARCH UID 7:50006" in line for line in script.heard) == 1


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(uid_validity=7, last_uid=6)], ids=["first sync", "news"])
def test_a_server_that_searches_a_thousand_messages_at_once_hides_none(cursor: Cursor) -> None:
    """RFC 9738, 3: Yahoo's. Of a larger folder the newest are searched, and the answer is OK."""
    there = range(7, 3007)

    def search(arguments: str) -> str:
        named = re.match(r"UID (\d+):(\d+)", arguments)
        span = range(int(named[1]), int(named[2]) + 1) if named else there
        found = [uid for uid in there if uid in span]
        if "," in arguments:
            return "* SEARCH\r\n{tag} OK done"
        part = f"[MESSAGELIMIT 1000 {found[-1000]}] partial" if len(found) > 1000 else "done"
        return f"* SEARCH{''.join(f' {uid}' for uid in found[-1000:])}\r\n{{tag}} OK {part}"

    def fetch(arguments: str) -> str:
        uids, _, what = arguments.partition(" ")
        known = 'RFC822.SIZE 2 INTERNALDATE "17-Jul-2026 02:44:25 +0000"' if "SIZE" in what else "BODY[] {2}\r\nhi"
        return "".join(f"* {uid} FETCH (UID {uid} {known})\r\n" for uid in uids.split(",")) + "{tag} OK done"

    examine = "* 3000 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 3007] next\r\n{tag} OK done"
    answers: dict[str, Answer | None] = {"EXAMINE": examine, "UID SEARCH": search, "UID FETCH": fetch}
    with scripted(answers, capabilities="IMAP4rev1 MESSAGELIMIT=1000") as (_, of):
        batches = read(of, cursor, FetchLimits(first_sync_messages=5000))
    assert sum(len(batch.messages) for batch in batches) == 3000


def test_nonsense_instead_of_imap_is_transient() -> None:
    for nonsense in ("* SEARCH one two\r\n{tag} OK done", "* SEARCH 1\r\n{tag} MAYBE", "rubbish"):
        with scripted({"UID SEARCH": nonsense}) as (_, of):
            assert isinstance(refused(of), TransientError)


def test_a_rescan_is_bounded_in_days(dovecot: Dovecot) -> None:
    user = "rescan@example.org"
    dovecot.add_user(user, PASSWORD)
    of = account({"username": user, "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file)
    for days in (40, 20, 3):
        dovecot.append(user, b"Subject: %d\n\nx\n" % days, when=datetime.now(UTC) - timedelta(days=days))
    cursor = read(of)[-1].cursor
    dovecot.change_uid_validity(user)
    batches = read(of, cursor, FetchLimits(rescan_days=30))
    assert len([message for batch in batches for message in batch.messages]) == 2
    assert f"changed from {cursor.uid_validity}" in batches[0].note


@pytest.fixture
def restored(dovecot: Dovecot) -> Callable[[str], tuple[Account, Cursor]]:
    """A mailbox that was read up to its fifth mail and is put back to a snapshot from before the third."""

    def restored(name: str) -> tuple[Account, Cursor]:
        user = f"{name}@example.org"
        dovecot.add_user(user, PASSWORD)
        of = account({"username": user, "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file)
        long_ago = datetime.now(UTC) - timedelta(days=40)
        for number, when in ((1, long_ago), (2, None)):
            dovecot.append(user, b"Subject: %d\n\nx\n" % number, when=when)
        cursor = read(of)[-1].cursor
        with dovecot.rolled_back(user):
            for number in (3, 4, 5):
                dovecot.append(user, b"Subject: %d\n\nx\n" % number)
            [*_, last] = read(of, cursor)
        assert last.cursor.last_uid == 5
        return of, last.cursor

    return restored


def bodies(batches: list[Batch]) -> list[bytes]:
    return [(message.raw or b"").splitlines()[0] for batch in batches for message in batch.messages]


def test_a_folder_that_went_back_is_read_again_once_that_was_seen_twice(
    dovecot: Dovecot, restored: Callable[[str], tuple[Account, Cursor]]
) -> None:
    of, cursor = restored("back")
    dovecot.append(of.secrets["username"], b"Subject: new\n\nx\n")  # it gets the third's UID
    with QUICK.open(of) as mailbox:
        assert mailbox.has_news(cursor)
    [seen] = read(of, cursor)
    assert (seen.messages, seen.note) == ((), "")
    assert seen.cursor == replace(cursor, went_back=True)
    [batch] = read(of, seen.cursor)
    assert bodies([batch]) == [b"Subject: 2", b"Subject: new"]
    assert all(message.imported for message in batch.messages)
    assert batch.reused == Reused(f"INBOX/{cursor.uid_validity}/", first=2)
    assert (batch.cursor.last_uid, batch.cursor.went_back) == (3, None)
    assert "UIDNEXT is 4, and 5 was read" in batch.note
    assert "2 messages since" in batch.note
    with QUICK.open(of) as mailbox:
        assert not mailbox.has_news(batch.cursor)


def test_a_folder_that_went_back_and_caught_up_is_known_by_the_message_that_was_read_last(
    dovecot: Dovecot, restored: Callable[[str], tuple[Account, Cursor]]
) -> None:
    of, cursor = restored("caught-up")
    for number in range(6, 10):  # the first three of them get the UIDs of three others, which arrived earlier
        dovecot.append(
            of.secrets["username"], b"Subject: %d\n\nlonger\n" % number, when=datetime.now(UTC) + timedelta(seconds=5)
        )
    [seen] = read(of, cursor)
    assert (seen.messages, seen.cursor) == ((), replace(cursor, went_back=True))
    with QUICK.open(of) as mailbox:
        assert mailbox.has_news(seen.cursor)
    [batch] = read(of, seen.cursor)
    assert bodies([batch]) == [b"Subject: 2", *(b"Subject: %d" % number for number in range(6, 10))]
    assert "UID 5 is another message" in batch.note
    assert batch.cursor.last_uid == 6


def test_a_folder_that_went_back_and_is_empty_begins_anew(dovecot: Dovecot) -> None:
    user = "emptied@example.org"
    dovecot.add_user(user, PASSWORD)
    of = account({"username": user, "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file)
    cursor = read(of)[-1].cursor
    with dovecot.rolled_back(user):
        dovecot.append(user, b"Subject: gone\n\nx\n")
        [last] = read(of, cursor)
    [seen] = read(of, last.cursor)
    [again] = read(of, seen.cursor)
    assert again.cursor == cursor, "as it was when nothing had come yet"
    assert again.reused == Reused(f"INBOX/{cursor.uid_validity}/", first=1)
    dovecot.append(user, b"Subject: new\n\nx\n")
    assert bodies(read(of, again.cursor)) == [b"Subject: new"]


def test_a_replica_that_lags_behind_for_a_moment_is_no_folder_that_went_back(dovecot: Dovecot) -> None:
    user = "replica@example.org"
    dovecot.add_user(user, PASSWORD)
    of = account({"username": user, "password": PASSWORD}, port=dovecot.port_imaps, ca_file=dovecot.ca_file)
    for number in (1, 2):
        dovecot.append(user, b"Subject: %d\n\nx\n" % number)
    cursor = read(of)[-1].cursor
    ahead = replace(cursor, last_uid=3)  # what the other replica has had
    [seen] = read(of, ahead)
    assert seen.cursor == replace(ahead, went_back=True)
    dovecot.append(user, b"Subject: 3\n\nx\n")  # now this one has it, too
    [batch] = read(of, seen.cursor)
    assert (batch.messages, batch.cursor) == ((), ahead)
    dovecot.append(user, b"Subject: 4\n\nx\n")
    assert bodies(read(of, batch.cursor)) == [b"Subject: 4"]


def test_a_uidnext_below_a_uid_that_is_there_is_not_believed() -> None:
    examine = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 1] next\r\n{tag} OK done"
    answers: dict[str, Answer | None] = {
        **answering({40: "* 3 FETCH (UID 40 BODY[] {3}\r\nabc)\r\n{tag} OK done"}, still_there="40"),
        "EXAMINE": examine,
        "UID SEARCH": "* SEARCH 40\r\n{tag} OK done",
    }
    with scripted(answers) as (_, of):
        assert read(of, Cursor(uid_validity=7, last_uid=40)) == []
        [batch] = read(of, Cursor(uid_validity=7, last_uid=39))
    assert (len(batch.messages), batch.cursor.last_uid, batch.reused) == (1, 40, None)
    answers["STATUS"] = '* STATUS "INBOX" (MESSAGES 3 UIDNEXT 1 UIDVALIDITY 7)\r\n{tag} OK done'
    with scripted(answers) as (_, of), ImapProvider().open(of) as mailbox:
        assert not mailbox.has_news(Cursor(uid_validity=7, last_uid=40)), "a run would find nothing, at each poll"
        assert mailbox.has_news(Cursor(uid_validity=7, last_uid=39))


def test_a_slow_link_is_slow_and_nothing_else(dovecot: Dovecot) -> None:
    user = "slow@example.org"
    dovecot.add_user(user, PASSWORD)
    dovecot.append(user, b"Subject: x\n\n" + b"x" * 200_000)
    proxy = Proxy(dovecot.port_imap)
    proxy.delay_seconds = 0.02
    of = account({"username": user, "password": PASSWORD}, port=proxy.port, security="plain")
    [batch] = read(of)
    assert batch.messages[0].raw is not None
    proxy.stop()


def test_plain_credentials_go_out_only_as_asked() -> None:
    with scripted(capabilities="IMAP4rev1 AUTH=PLAIN", answers={"AUTHENTICATE": "+ \r\n"}) as (script, of):
        impatient = ImapProvider(connect_seconds=0.5, read_seconds=0.5)
        with pytest.raises(TransientError), impatient.open(of):
            pass
        assert base64.b64decode(script.heard[-1]).decode() == f"\0{USER}\0{PASSWORD}"


def endless(arguments: str) -> Iterator[bytes]:
    """A server that never stops talking and never ends its answer."""
    while True:
        yield b"* OK still thinking\r\n"
        time.sleep(0.01)


def dripping(arguments: str) -> Iterator[bytes]:
    """A line that never ends, a byte at a time."""
    while True:
        yield b"*"
        time.sleep(0.01)


def literal_that_drips(arguments: str) -> Iterator[bytes]:
    yield b"* 1 FETCH (UID 1 BODY[] {1000000}\r\n"
    yield from dripping(arguments)


@pytest.mark.parametrize("slowly", [endless, dripping, literal_that_drips])
@pytest.mark.parametrize("command", ["CAPABILITY", "LOGIN", "STATUS", "UID FETCH"])
def test_a_server_that_drips_cannot_hold_a_thread(command: str, slowly: Callable[[str], Iterator[bytes]]) -> None:
    answers: dict[str, Answer | None] = {
        "STATUS": '* STATUS "INBOX" (UIDNEXT 2 UIDVALIDITY 7)\r\n{tag} OK done',
        "UID SEARCH": "* SEARCH 1\r\n{tag} OK done",
        command: slowly,
    }
    with scripted(answers) as (_, of):
        impatient = ImapProvider(connect_seconds=0.1, read_seconds=0.1)
        with pytest.raises(TransientError, match="in time"), impatient.open(of) as mailbox:
            mailbox.has_news(Cursor(uid_validity=7, last_uid=0))
            list(mailbox.batches(Cursor(uid_validity=7, last_uid=0), LIMITS))


@pytest.fixture
def box(mail_server: MailServer) -> Iterator[ImapKit]:
    kit = ImapKit(mail_server)
    yield kit
    kit.close()


@pytest.mark.parametrize("with_trash", [True, False])
def test_what_others_have_marked_as_deleted_stays_when_one_message_is_removed(box: ImapKit, with_trash: bool) -> None:
    _, known = keys(box, "marked", "ours", "kept")
    if with_trash:
        box.allow_removing()
    with box.client() as client:
        client.select_folder("INBOX")
        client.delete_messages(client.search(["SUBJECT", "marked"]))
    with box.provider.open(box.account) as mailbox:
        assert mailbox.remove(known["ours"]) is (Removed.TRASHED if with_trash else Removed.DELETED)
    assert left(box) == {known["marked"], known["kept"]}


def test_a_uid_of_another_uid_validity_is_another_message_and_left_alone(box: ImapKit) -> None:
    _, known = keys(box, "ours", "other")
    box.expire_cursor()
    before = left(box)
    assert {key.rpartition("/")[2] for key in before} == {key.rpartition("/")[2] for key in known.values()}
    with box.provider.open(box.account) as mailbox:
        assert mailbox.remove(known["ours"]) is Removed.GONE
    elsewhere = replace(box.account, connection={**box.account.connection, "folder": "Filed"})
    with box.provider.open(elsewhere) as mailbox:
        assert mailbox.remove(next(iter(before))) is Removed.GONE
    assert left(box) == before


_OPENED = "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 2] next\r\n{tag} OK [READ-WRITE] done"
_HAS_ONE = {"SELECT": _OPENED, "UID SEARCH": "* SEARCH 1\r\n{tag} OK done"}
_TRASH = '* LIST (\\Trash) "/" "Bin"\r\n* LIST () "/" "INBOX"\r\n{tag} OK done'


@pytest.mark.parametrize(
    ("capabilities", "trash", "changes", "removed"),
    [
        ("MOVE UIDPLUS", True, ["UID MOVE 1 Bin"], Removed.TRASHED),
        ("MOVE", True, ["UID MOVE 1 Bin"], Removed.TRASHED),
        (
            "UIDPLUS",
            True,
            ["UID COPY 1 Bin", r"UID STORE 1 +FLAGS.SILENT (\Deleted)", "UID EXPUNGE 1"],
            Removed.TRASHED,
        ),
        ("MOVE UIDPLUS", False, [r"UID STORE 1 +FLAGS.SILENT (\Deleted)", "UID EXPUNGE 1"], Removed.DELETED),
        ("", True, [], None),
        ("MOVE", False, [], None),
    ],
)
def test_a_message_is_removed_by_no_command_that_could_take_another(
    capabilities: str, trash: bool, changes: list[str], removed: Removed | None
) -> None:
    answers = {**_HAS_ONE, **({"LIST": _TRASH} if trash else {})}
    with scripted(answers, capabilities=f"IMAP4rev1 {capabilities}".strip()) as (server, of):
        if removed is None:
            with pytest.raises(NotAllowed, match=r"UIDPLUS.*stays in the mailbox"), QUICK.open(of) as mailbox:
                mailbox.remove("INBOX/7/1")
        else:
            with QUICK.open(of) as mailbox:
                assert mailbox.remove("INBOX/7/1") is removed
        said = [line.partition(" ")[2].replace('"', "") for line in server.heard]
    asked = ("CAPABILITY", "LOGIN", "AUTHENTICATE", "SELECT", "UID SEARCH", "LIST", "LOGOUT")
    assert [line for line in said if not line.startswith(asked)] == changes


@pytest.mark.parametrize(
    "answers",
    [
        {"SELECT": _OPENED.replace("READ-WRITE", "READ-ONLY")},
        {**_HAS_ONE, "LIST": _TRASH, "UID MOVE": "{tag} NO [NOPERM] not yours"},
        {**_HAS_ONE, "LIST": _TRASH, "UID MOVE": "{tag} NO Permission denied"},
    ],
)
def test_a_mailbox_that_may_only_be_read_says_so_and_stays_connected(answers: dict[str, Answer | None]) -> None:
    with (
        scripted(answers, capabilities="IMAP4rev1 MOVE UIDPLUS") as (_, of),
        pytest.raises(NotAllowed, match="right to delete"),
        QUICK.open(of) as mailbox,
    ):
        mailbox.remove("INBOX/7/1")
