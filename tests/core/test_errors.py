"""What a mail server says reaches admins, logs and the database as a text that each of them can bear."""

from __future__ import annotations

import pytest

from inboxops.errors import AuthenticationFailed, InboxOpsError


@pytest.mark.parametrize("unprintable", ["\x00", "\x1b", "\x7f", "\x9b", "\ud83d"])
def test_what_no_database_can_keep_is_replaced(unprintable: str) -> None:
    error = AuthenticationFailed(f"the server says: NO bad{unprintable}password", fix=f"Ask{unprintable}it")
    assert str(error) == "the server says: NO bad\ufffdpassword. Ask\ufffdit"
    assert error.args == ("the server says: NO bad\ufffdpassword",)


def test_white_space_and_letters_of_any_language_stay() -> None:
    assert str(InboxOpsError("Jörg\r\n\tsays 你好 😀\x85now")) == "Jörg says 你好 😀 now"
