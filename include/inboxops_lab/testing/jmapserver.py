"""Cyrus IMAP's JMAP server for tests: a real one, with a folder of its own. Debian has it in `cyrus-caldav`, beside Dovecot."""

from __future__ import annotations

import os
import pwd
import ssl
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from smtplib import LMTP
from typing import Any

import httpx

from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.processes import ServerProcess, free_ports

_PLACES = (Path("/usr/lib/cyrus/bin"), Path("/usr/libexec/cyrus-imapd"))
DOMAIN = "jmap.example"

_CONFIG = """\
configdirectory: {folder}/conf
defaultpartition: default
partition-default: {folder}/spool
cyrus_user: {user}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb2
sasl_mech_list: PLAIN
virtdomains: userid
unixhierarchysep: yes
altnamespace: yes
conversations: 1
httpmodules: jmap
httpallowcompress: 0
tls_server_cert: {cert}
tls_server_key: {key}
autocreate_post: yes
autocreate_quota: 0
autocreate_inbox_folders: Sent | Drafts | Support | Filed | Junk
xlist-sent: Sent
xlist-drafts: Drafts
xlist-junk: Junk
duplicatesuppression: 0
conversations_db: twoskip
skiplist_unsafe: yes
search_engine: none
jmap_max_size_upload: 50000
smtp_backend: host
smtp_host: 127.0.0.1:{smtp}
lmtpsocket: {folder}/run/lmtp
idlesocket: {folder}/run/idle
notifysocket: {folder}/run/notify
proc_path: {folder}/run/proc
mboxname_lockpath: {folder}/run/lock
"""
_SERVICES = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  https cmd="{bin}/httpd -C {folder}/imapd.conf -s" listen="127.0.0.1:{https}" prefork=1
  lmtp cmd="{bin}/lmtpd -C {folder}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=0
}}
EVENTS {{
}}
"""


def cyrus_folder() -> Path | None:
    """Where Cyrus' programs are; None where those that speak JMAP are not installed."""
    wanted = ("master", "httpd", "lmtpd", "ctl_cyrusdb")
    return next((place for place in _PLACES if all((place / name).exists() for name in wanted)), None)


class Cyrus:
    """Cyrus IMAP 3 with JMAP over TLS on `port`. What it is to send goes to an SMTP server on `smtp_port`, when one is there."""

    host = "localhost"

    def __init__(self) -> None:
        programs = cyrus_folder()
        if programs is None:
            raise FileNotFoundError("Cyrus' JMAP server is not installed (apt-get install cyrus-caldav sasl2-bin)")
        self._folder = tempfile.TemporaryDirectory(prefix="inboxops-jmap-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)
        self.port, self._lmtp_port, self.smtp_port = free_ports(3)
        self.certificate = certificate = Authority(self.folder).issue()
        self.ca_file = self.folder / "ca.pem"
        as_root = os.geteuid() == 0
        user = pwd.getpwnam("cyrus") if as_root else pwd.getpwuid(os.geteuid())
        values = {
            "folder": self.folder, "bin": programs, "user": user.pw_name,
            "cert": certificate.cert_file, "key": certificate.key_file,
            "https": self.port, "lmtp": self._lmtp_port, "smtp": self.smtp_port,
        }  # fmt: skip
        (self.folder / "imapd.conf").write_text(_CONFIG.format(**values))
        (self.folder / "cyrus.conf").write_text(_SERVICES.format(**values))
        for name in ("conf", "spool", "run"):
            (self.folder / name).mkdir()
        self._owner = (user.pw_uid, user.pw_gid) if as_root else None
        self.set_password(f"first@{DOMAIN}", "first")
        for path in self.folder.rglob("*"):
            self._own(path)
        self._process = ServerProcess(
            [
                *(programs / "master", "-C", self.folder / "imapd.conf", "-M", self.folder / "cyrus.conf"),
                *("-p", self.folder / "run" / "master.pid"),
            ],
            [self.port, self._lmtp_port],
            self.folder / "cyrus.log",
        )

    def set_password(self, address: str, password: str) -> None:
        """Of a new user or a known one."""
        name, _, domain = address.partition("@")
        subprocess.run(
            ["saslpasswd2", "-p", "-c", "-f", str(self.folder / "sasldb2"), "-u", domain, name],
            input=password.encode(),
            check=True,
        )
        self._own(self.folder / "sasldb2")

    def add_user(self, address: str, password: str) -> None:
        """Who logs in with the address. Cyrus makes the mailboxes when the first mail comes; whatever is there is removed."""
        self.set_password(address, password)
        with LMTP("127.0.0.1", self._lmtp_port) as lmtp:
            lmtp.sendmail("", [address], b"Subject: makes the mailboxes\r\n\r\n")
        client = JmapClient(self, address, password)
        client.destroy(list(client.call("Email/query")["ids"]))
        client.close()

    def stop(self) -> None:
        self._process.stop()
        self._folder.cleanup()

    def _own(self, path: Path) -> None:
        if self._owner and not path.is_symlink():
            os.chown(path, *self._owner)


class JmapClient:
    """Another client of the same account, for what people do to their mail."""

    def __init__(self, server: Cyrus, address: str, password: str) -> None:
        self._account = address
        self._mailboxes: dict[str, str] = {}
        context = ssl.create_default_context(cafile=str(server.ca_file))
        self._http = httpx.Client(
            base_url=f"https://localhost:{server.port}", auth=(address, password), verify=context, timeout=30
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        using = [f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission")]
        body = {"using": using, "methodCalls": [[method, {"accountId": self._account, **arguments}, "0"]]}
        response = self._http.post("/jmap/", json=body).raise_for_status()
        name, answer, _ = response.json()["methodResponses"][0]
        if name == "error":
            raise AssertionError(f"{method}: {answer}")
        return dict(answer)

    def mailbox(self, wanted: str) -> str:
        """The id of a mailbox by its role or name."""
        if wanted not in self._mailboxes:
            listed = self.call("Mailbox/get", ids=None)["list"]
            self._mailboxes[wanted] = next(str(one["id"]) for one in listed if wanted in (one["role"], one["name"]))
        return self._mailboxes[wanted]

    def ids(self, mailbox: str, **more: Any) -> list[str]:
        return list(self.call("Email/query", filter={"inMailbox": self.mailbox(mailbox), **more})["ids"])

    def add(self, raw: bytes, mailbox: str, *, when: datetime | None = None, keywords: tuple[str, ...] = ()) -> str:
        uploaded = self._http.post(
            f"/jmap/upload/{self._account}/", content=raw, headers={"Content-Type": "message/rfc822"}
        )
        email = {
            "blobId": uploaded.raise_for_status().json()["blobId"],
            "mailboxIds": {self.mailbox(mailbox): True},
            "receivedAt": f"{when or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "keywords": dict.fromkeys(keywords, True),
        }
        answer = self.call("Email/import", emails={"new": email})
        assert answer.get("created"), answer
        return str(answer["created"]["new"]["id"])

    def with_subject(self, subject: str, mailbox: str) -> str:
        """Without a search, for which this Cyrus would need an index."""
        listed = self.call("Email/get", ids=self.ids(mailbox), properties=["subject"])["list"]
        return next(str(one["id"]) for one in listed if one["subject"] == subject)

    def move(self, email: str, mailbox: str) -> None:
        self.call("Email/set", update={email: {"mailboxIds": {self.mailbox(mailbox): True}}})

    def destroy(self, emails: list[str]) -> None:
        self.call("Email/set", destroy=emails)

    def remake(self, mailbox: str) -> None:
        """The same mailbox with the same mail under another id, as after a restored backup: no state of the old one is known."""
        old = self.mailbox(mailbox)
        emails = self.ids(mailbox)
        created = self.call("Mailbox/set", create={"new": {"name": f"{mailbox} anew"}})["created"]
        new = str(created["new"]["id"])
        self.call("Email/set", update={email: {"mailboxIds": {new: True}} for email in emails})
        self.call("Mailbox/set", destroy=[old])
        self.call("Mailbox/set", update={new: {"name": mailbox}})
        self._mailboxes[mailbox] = new
