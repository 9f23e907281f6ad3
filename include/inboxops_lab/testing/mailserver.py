"""IMAP servers for tests and the bench: Dovecot, which judges, and pymap from its wheel where Dovecot isn't installed.

Both keep Maildirs, so mail is delivered by writing a file: 10,000 messages take a second or two and nobody logs in.
"""

from __future__ import annotations

import base64
import grp
import hashlib
import hmac
import itertools
import json
import os
import pwd
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from imapclient import IMAPClient, imap_utf7
from imapclient.exceptions import LoginError
from pysasl.hashing import BuiltinHash

from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.processes import ServerProcess, free_ports, wait_until
from inboxops_lab.testing.proxy import Proxy

_DOVECOT_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


def dovecot_binary() -> str | None:
    return shutil.which("dovecot") or shutil.which("dovecot", path=_DOVECOT_PLACES)


class MailServer:
    """What Dovecot and pymap have in common. `port_imap` speaks plain text and STARTTLS, `port_imaps` TLS."""

    name: str
    host = "localhost"
    port_imap: int
    port_imaps: int

    def __init__(self) -> None:
        # It goes with this object, also when its making is broken off.
        self._folder = tempfile.TemporaryDirectory(prefix="inboxops-mail-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)  # the server's processes may run as somebody else
        self.authority = Authority(self.folder)
        self._certificate = self.authority.issue()
        self._mail = self.folder / "mail"
        self._mail.mkdir()
        self._passwords: dict[str, str] = {}
        self._delivered = itertools.count(1)
        self.port_imap, self.port_imaps = free_ports(2)

    @property
    def pid(self) -> int:
        """Of the server's first process; the others descend from it."""
        return self._process.pid

    @property
    def ca_file(self) -> str:
        return str(self.authority.ca_file)

    def add_user(self, name: str, password: str) -> None:
        """A mailbox with an empty INBOX; again: another password."""
        is_new = name not in self._passwords
        self._passwords[name] = password
        self._write_user(name)
        self._own(self._maildir(name, "INBOX"))
        if not is_new:
            # Dovecot looks at a file that it knows once a second.
            wait_until("the server to know the new password", lambda: self._logs_in(name))

    def _logs_in(self, user: str) -> bool:
        try:
            with self.client(user):
                return True
        except LoginError:
            return False

    def append(self, user: str, raw: bytes, folder: str = "INBOX", when: datetime | None = None) -> None:
        """Deliver one message, its line ends as in RFC 5322; `when` becomes its INTERNALDATE.

        Dovecot gives UIDs in the order of the calls, pymap in any.
        """
        raw = b"\r\n".join(raw.replace(b"\r\n", b"\n").split(b"\n"))
        box = self._maildir(user, folder)
        moment = when or datetime.now(UTC)
        # The time and the counter that the name starts with are what Dovecot orders by.
        name = f"1700000000.M{next(self._delivered):09d}P1.test,S={len(raw)}"
        staged = box / "tmp" / name
        staged.write_bytes(raw)
        os.utime(staged, (moment.timestamp(), moment.timestamp()))
        self._own(staged)
        staged.rename(box / "new" / name)

    def create_folder(self, user: str, folder: str) -> None:
        self._own(self._maildir(user, folder))

    def change_uid_validity(self, user: str) -> None:
        """Forget every UID of the INBOX, as after a restore from a backup."""
        before = self._uid_validity(user)
        box = self._mail / user / "Maildir"
        while self._uid_validity(user) == before:
            for stale in [*box.glob("dovecot-uidlist*"), *box.glob("dovecot.*"), *box.glob("dovecot-uidvalidity*")]:
                stale.unlink(missing_ok=True)

    @contextmanager
    def rolled_back(self, user: str) -> Iterator[None]:
        """What happens to the mailbox within is undone, UIDs and all: a snapshot of its machine is put back."""
        box, snapshot = self._mail / user / "Maildir", self.folder / f"snapshot of {user}"
        with self._stopped():
            shutil.copytree(box, snapshot)
        yield
        with self._stopped():
            shutil.rmtree(box)
            snapshot.rename(box)
            self._own(box)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """Nobody writes into a mailbox; then it is started anew."""
        self._process.stop(seconds=2)
        yield
        self._process = self._started()

    def _uid_validity(self, user: str) -> int:
        with self.client(user) as client:
            return int(client.folder_status("INBOX", ["UIDVALIDITY"])[b"UIDVALIDITY"])

    @contextmanager
    def client(self, user: str) -> Iterator[IMAPClient]:
        """Another program that uses the mailbox, such as an agent's mail client."""
        with IMAPClient(self.host, self.port_imap, ssl=False, timeout=20) as client:
            client.login(user, self._passwords[user])
            yield client

    def stop(self) -> None:
        self._process.stop(seconds=2)
        self._folder.cleanup()

    _process: ServerProcess

    def _started(self) -> ServerProcess:
        raise AssertionError("each server has its own command")

    def _write_user(self, name: str) -> None:
        raise AssertionError("each server has its own file of users")

    def _own(self, path: Path) -> None:
        """Nothing, unless the server reads mail as another user."""

    def _folder_name(self, folder: str) -> str:
        """A folder's name in the file system."""
        return bytes(imap_utf7.encode(folder)).decode("ascii")

    def _maildir(self, user: str, folder: str) -> Path:
        """The Maildir++ folder, made when it is missing."""
        box = self._mail / user / "Maildir"
        if folder != "INBOX":
            box = box / ("." + self._folder_name(folder).replace("/", "."))
        for part in ("cur", "new", "tmp"):
            (box / part).mkdir(parents=True, exist_ok=True)
        if folder != "INBOX":
            (box / "maildirfolder").touch()
        return box


class Dovecot(MailServer):
    """Dovecot 2.3 with a configuration of its own. As root its mail processes run as `nobody`, else all as the user."""

    name = "dovecot"

    def __init__(self, *, clients_per_process: int = 1) -> None:
        """clients_per_process: more than one saves 3 MB a connection and lets IDLE share its inotify instances."""
        super().__init__()
        self._binary = dovecot_binary() or ""
        if not self._binary:
            raise FileNotFoundError("Dovecot is not installed (apt-get install dovecot-imapd)")
        self._as_root = os.geteuid() == 0
        self._uid, self._gid = _nobody() if self._as_root else (os.geteuid(), os.getegid())
        self._oauth_key = os.urandom(32)
        self._write_oauth()
        (self.folder / "users").mkdir()
        self._own(self._mail)
        self._config_file = self.folder / "dovecot.conf"
        self._config_file.write_text(self._config(clients_per_process))
        self._process = self._started()

    def _started(self) -> ServerProcess:
        command: list[str | Path] = [self._binary, "-F", "-c", self._config_file]
        return ServerProcess(command, [self.port_imap, self.port_imaps], self.folder / "dovecot.log")

    def access_token(self, user: str, *, lives_seconds: int = 3600) -> str:
        """A JWT that this server accepts for XOAUTH2 (Dovecot validates it itself, RFC 7519)."""
        now = int(time.time())
        claims = {"sub": user, "iss": "tests", "iat": now - 7200, "nbf": now - 7200, "exp": now + lives_seconds}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (signed + b"." + _base64url(hmac.digest(self._oauth_key, signed, hashlib.sha256))).decode("ascii")

    def put_below(self, user: str, prefix: str) -> None:
        """The names of a user's folders begin so from now on (RFC 2342), as those of Courier do."""
        known = f"{user}:{{PLAIN}}{self._passwords[user]}"
        (self.folder / "users" / user).write_text(f"{known}::::::userdb_namespace/inbox/prefix={prefix}\n")

    def _write_user(self, name: str) -> None:
        (self.folder / "users" / name).write_text(f"{name}:{{PLAIN}}{self._passwords[name]}\n")

    def _write_oauth(self) -> None:
        keys = self.folder / "keys" / "default" / "HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(self._oauth_key))
        (self.folder / "oauth2.conf").write_text(
            f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={self.folder}/keys/\n"
            "username_attribute = sub\nissuers = tests\n"
        )

    def _own(self, path: Path) -> None:
        if not self._as_root:
            return
        for owned in [path, *path.rglob("*")] if path.is_dir() else [path]:
            os.chown(owned, self._uid, self._gid)
        for parent in path.parents:
            if parent == self._mail or self._mail not in parent.parents:
                break
            os.chown(parent, self._uid, self._gid)

    def _config(self, clients_per_process: int) -> str:
        rootless = (
            ""
            if self._as_root
            else _ROOTLESS.format(user=pwd.getpwuid(os.geteuid()).pw_name, group=grp.getgrgid(os.getegid()).gr_name)
        )
        return rootless + _CONFIG.format(
            folder=self.folder,
            clients=clients_per_process,
            uid=self._uid,
            gid=self._gid,
            imap=self.port_imap,
            imaps=self.port_imaps,
            cert=self._certificate.cert_file,
            key=self._certificate.key_file,
        )


class Pymap(MailServer):
    """The IMAP server of the PyPI wheel `pymap` on the same Maildirs: no special-use folders, no XOAUTH2.

    It knows no TLS from the first byte, so a proxy stands in front of it for `port_imaps`.
    """

    name = "pymap"

    def __init__(self) -> None:
        super().__init__()
        self._shadow: dict[str, str] = {}
        self._process = self._started()
        self._tls = Proxy(self.port_imap, certificate=self._certificate)
        self.port_imaps = self._tls.port

    def _started(self) -> ServerProcess:
        command: list[str | Path] = [
            Path(sys.executable).with_name("pymap"),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port_imap),
        ]
        command += ["--cert", self._certificate.cert_file, "--key", self._certificate.key_file, "maildir", self._mail]
        return ServerProcess(command, [self.port_imap], self.folder / "pymap.log")

    def _folder_name(self, folder: str) -> str:
        return folder

    def stop(self) -> None:
        self._tls.stop()
        super().stop()

    def _write_user(self, name: str) -> None:
        users = (f"{name}:x::::{name}/Maildir:\n" for name in self._passwords)
        (self._mail / "pymap-etc-passwd").write_text("".join(users))
        self._shadow[name] = f"{name}:{BuiltinHash().hash(self._passwords[name])}:::::::\n"
        (self._mail / "pymap-etc-shadow").write_text("".join(self._shadow.values()))


def _nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


_ROOTLESS = """
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
"""

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
first_valid_uid = 1
first_valid_gid = 1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
auth_verbose = yes
mail_max_userip_connections = 5000
mailbox_idle_check_interval = 1 secs
mail_location = maildir:~/Maildir
maildir_very_dirty_syncs = no
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    special_use = \\Junk
    auto = create
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = {folder}/users/%u
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  service_count = 0
  client_limit = 8000
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 5000
  client_limit = {clients}
  service_count = {clients}
}}
service anvil {{
  client_limit = 20000
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  client_limit = 20000
}}
"""
