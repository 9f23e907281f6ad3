"""What others make of the same mailbox in the same minute: Dovecot's raw FETCH, and imapflow with mailparser from npm."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from inboxops.errors import OperatorError

PINNED = {"imapflow": "2.10.2", "mailparser": "3.14.2"}
"""The newest of their kind in November 2026."""

_PROGRAM = """\
const { ImapFlow } = require('imapflow');
const { simpleParser } = require('mailparser');
const [port, user, pass] = process.argv.slice(2);
(async () => {
  const client = new ImapFlow({ host: '127.0.0.1', port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger: false });
  await client.connect();
  await client.mailboxOpen('INBOX', { readOnly: true });
  const began = process.hrtime.bigint();
  let messages = 0, files = 0;
  for await (const message of client.fetch('1:*', { uid: true, source: true })) {
    const mail = await simpleParser(message.source);
    messages += 1;
    files += mail.attachments.length;
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({ messages, files, seconds }));
  await client.logout();
})().catch((error) => { console.error(error); process.exit(1); });
"""


def raw_fetch(port: int, user: str, password: str) -> float:
    """Messages a second that the server hands out in one FETCH of whole messages, read and thrown away."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as server:
        _ask(server, f"a LOGIN {user} {json.dumps(password)}")
        exists = _ask(server, "b EXAMINE INBOX")
        count = next(int(line.split()[1]) for line in exists.splitlines() if line.endswith(b" EXISTS"))
        began = time.monotonic()
        server.sendall(b"c UID FETCH 1:* (BODY.PEEK[])\r\n")
        tail = b""
        while b"\r\nc OK" not in tail:
            data = server.recv(1 << 20)
            if not data:
                raise OperatorError("Dovecot ended the connection during FETCH")
            tail = (tail + data)[-200:]
        return count / (time.monotonic() - began)


def _ask(server: socket.socket, command: str) -> bytes:
    server.sendall(command.encode() + b"\r\n")
    tag = command.split()[0].encode()
    said = b""
    while b"\r\n" + tag + b" " not in b"\r\n" + said or not said.endswith(b"\r\n"):
        said += server.recv(65536)
    return said


def imapflow(port: int, user: str, password: str) -> float | None:
    """Messages a second that imapflow fetches and mailparser parses, nothing stored. None without node and npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="inboxops-npm-") as folder:
        (Path(folder) / "package.json").write_text(json.dumps({"private": True, "dependencies": PINNED}))
        (Path(folder) / "read.js").write_text(_PROGRAM)
        installed = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if installed.returncode != 0:
            raise OperatorError(
                f"npm can't install {PINNED}: {installed.stderr[-500:]}", fix="Use --no-rivals without it"
            )
        done = subprocess.run(
            ["node", "read.js", str(port), user, password], cwd=folder, capture_output=True, text=True
        )
    if done.returncode != 0:
        raise OperatorError(f"imapflow failed: {done.stderr[-500:]}")
    answer = json.loads(done.stdout)
    return float(answer["messages"] / answer["seconds"])
