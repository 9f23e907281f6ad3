"""Defences are taken out, one at a time, and each time a test of the suite fails: `make intruders DEFENCES=out`.

Each runs its test in a process of its own, with a plugin that takes the defence out before anything is collected. The same test is
known to pass with the defence in: the suite runs it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = "tests/intruders"
CODE = (ROOT / "include", ROOT / "plugins", ROOT)

OUT: dict[str, tuple[str, str]] = {
    "the tenant of a transaction": (
        "from inboxops.db import database\n"
        "database.Database.of_tenant = lambda self, tenant_id: self\n"
        "import api.app\n"
        "api.app._world = lambda settings: api.app.World(settings, connections=4)\n",
        f"{HERE}/test_tenants.py -k 'test_another_tenants_thing_is_none and GET and inboxes'",
    ),
    "the look at where a change comes from": (
        "from api import sessions\nsessions.is_from_elsewhere = lambda request: False\n",
        f"{HERE}/test_tenants.py -k test_another_origin_changes_nothing",
    ),
    "the age of a session": (
        "from api import sessions\nsessions.SECONDS = 10**9\n",
        f"{HERE}/test_tenants.py -k 'every_route_is_closed and tickets'",
    ),
    "the limit of log-ins": (
        "from api import limits\nlimits.Tries.failed = lambda self, request: None\n",
        f"{HERE}/test_log_in.py::test_guessing_is_slowed_down_and_counted",
    ),
    "no-store": (
        "from api import private\nprivate.HEADERS.clear()\n",
        f"{HERE}/test_log_in.py -k no_cache_keeps",
    ),
    "the algorithm of Google's tokens": (
        "import jwt\n"
        "decode = jwt.decode\n"
        "jwt.decode = lambda token, key=None, **more: decode(token, options={'verify_signature': False})\n",
        f"{HERE}/test_webhooks.py -k 'no_confused_token and own'",
    ),
    "the list of tags": (
        "from api import mail_view\nmail_view._TAGS |= {'svg', 'form', 'input', 'button', 'style'}\n"
        "mail_view._ATTRIBUTES['form'] = {'action'}\n",
        f"{HERE}/test_page.py -k 'sanitiser_alone and form'",
    ),
    "the policy of a mail": (
        "from api import mail_view\nmail_view.POLICY = 'img-src {images}'\n",
        f"{HERE}/test_page.py -k policy_alone",
    ),
    "what makes headers visible": (
        "from inboxops.core import compose\ncompose._visible = str\n",
        f"{HERE}/test_mail.py -k no_field_that_a_stranger_fills",
    ),
    "the caps of automatic answers": (
        "from inboxops.core import autorespond\nautorespond.MOST_PER_DOMAIN = 10**9\nautorespond.MOST_PER_ADDRESS = 10**9\n",
        f"{HERE}/test_mail.py::test_the_database_counts_what_was_answered_by_domain {HERE}/test_mail.py -k stop_at_an_address",
    ),
    "the authority of a certificate": (
        "import ssl\n"
        "made = ssl.create_default_context\n"
        "def open_to_all(*a, **k):\n"
        "    context = made(*a, **k)\n"
        "    context.check_hostname = False\n"
        "    context.verify_mode = ssl.CERT_NONE\n"
        "    return context\n"
        "ssl.create_default_context = open_to_all\n",
        f"{HERE}/test_hosts.py -k 'told_nothing and JMAP'",
    ),
    "known passwords for known servers": (
        "from inboxops.composition import connecting\nconnecting._WHERE = ()\n",
        f"{HERE}/test_hosts.py -k known_password",
    ),
    "the addresses that a tenant may reach": (
        "from inboxops.core.reach import Reach\nReach.check = lambda self, host, addresses: None\n",
        f"{HERE}/test_rebinding.py -k 'stands_inside and plain'",
    ),
    "the time of an exchange": (
        "from inboxops.outward.allowance import Allowance\nAllowance.wait = lambda self, pause=None: 60.0\n",
        f"{HERE}/test_slow.py -k 'smtp_server_that_drips and EHLO and lines'",
    ),
    "the number of mailboxes that are tried at once": (
        "from api import limits\nlimits.LOOKS_OF_ONE = 10**9\n",
        f"{HERE}/test_slow.py -k silent_servers",
    ),
    "the end of a session": (
        "from inboxops.db.api_keys import ApiKeyStore\nApiKeyStore.end_session = lambda self, caller, session: None\n",
        f"{HERE}/test_log_in.py -k logging_out",
    ),
    "the rule of forged senders": (
        "from inboxops.core import autorespond\nautorespond.is_forged = lambda said: False\n",
        "tests/sending/test_autorespond.py -k forged_mail",
    ),
    "whom an automatic answer may go to": (
        "from inboxops.core import autorespond\nautorespond._is_within = lambda one, other: True\n",
        "tests/sending/test_autorespond.py -k 'names_somebody_else and notevil'",
    ),
    "quotations and comments in Authentication-Results": (
        "from inboxops.core import authentication\n"
        "def lax(value):\n"
        "    server, _, rest = value.partition(';')\n"
        "    found = authentication._LAX.findall(rest)\n"
        "    return authentication.Said(server, dict(reversed(found)))\n"
        "authentication.read = lax\n",
        "tests/core/test_authentication.py -k no_quoted_address",
    ),
    "what an upload link signs": (
        "from inboxops.storage.s3 import S3Store\n"
        "def unsigned(self, key, *, content_type, size_bytes, seconds):\n"
        "    named = {'Bucket': self._bucket, 'Key': key}\n"
        "    return self.client.generate_presigned_url('put_object', Params=named, ExpiresIn=seconds)\n"
        "S3Store.presigned_put = unsigned\n",
        f"{HERE}/test_links.py -k upload_link_takes",
    ),
    "the console's look at where an action comes from": (
        "from inboxops_airflow import console\nconsole.is_from_elsewhere = lambda request: False\n",
        f"{HERE}/test_console.py -k another_origin",
    ),
    "the whole name of a DAG": (
        "from inboxops_airflow import console\n"
        "console._of = lambda world, dag: world.inboxes.get(console.inbox_id_of(dag))\n",
        f"{HERE}/test_console.py -k 'opens_none and before'",
    ),
    "the room of webhooks": (
        "from api.routers import webhooks\n"
        "from contextlib import nullcontext\n"
        "webhooks.Front.admitted = lambda self, request: nullcontext(self.push)\n",
        f"{HERE}/test_webhooks.py -k bounded_room",
    ),
    "names without paths": (
        "from inboxops.core import attachments\nattachments._FORBIDDEN = attachments.re.compile('(?!)')\n",
        f"{HERE}/test_mail.py -k no_name_of_a_file",
    ),
}


QUICK = ("quotations and comments in Authentication-Results", "what makes headers visible", "names without paths")
"""Their tests need no server: `tests/intruders/test_defences.py` takes these out in every run of the suite."""


@pytest.mark.parametrize("defence", OUT)
def test_without_it_a_test_fails(defence: str, tmp_path: Path) -> None:
    take_out(defence, tmp_path)


def take_out(defence: str, folder: Path) -> None:
    code, tests = OUT[defence]
    (folder / "without.py").write_text(f"{code}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *map(str, CODE)]), "CI": ""}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "without",
            "--timeout",
            "300",
            *shlex.split(tests, posix=True),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, (
        f"{defence}: nothing failed\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
    )
    assert " failed" in done.stdout, "an error that is no failed assertion proves nothing"
