"""HTML that nobody can parse in time is known in one pass, and what people write is none of it."""

from __future__ import annotations

import pytest

from api.mail_view import view
from inboxops.core.html import is_tangled, to_text


@pytest.mark.parametrize(
    "piece", ["<div>", "<x>", "<b><p>", "<table>x", "<ul><li>", "<div></span>", "<table><tr><td>", "&", "&amp;"]
)
def test_a_mail_that_would_keep_a_core_busy_for_minutes_is_shown_as_its_text(piece: str) -> None:
    hostile = "<p>Hello 1 &lt; 2</p>" + piece * (1_000_000 // len(piece))
    assert is_tangled(hostile)
    shown = view(hostile, {}, with_remote=False).html
    assert "<pre>Hello 1 &lt; 2" in shown


@pytest.mark.parametrize(
    "written",
    [
        "<p>" * 100_000,
        "<br>" * 100_000,
        "<div>" * 200 + "<p>Hello</p>" * 10_000 + "</div>" * 200,
        "<table><tr><td><table><tr><td><font size=1><b>x</b></font></td></tr></table></td></tr></table>" * 5_000,
        "<font>" * 300 + "<p>never closed" * 2_000,
        "<a href='https://shop.example/?a=1&b=2&c=3'>x</a>" * 10_000,
    ],
    ids=["paragraphs", "lines", "deep", "newsletter", "sloppy", "links"],
)
def test_what_people_and_their_programs_write_is_shown_as_it_is(written: str) -> None:
    assert not is_tangled(written)


def test_what_is_preformatted_keeps_its_lines_and_the_spaces_before_them() -> None:
    page = "<p>It\nsays:</p><pre>a:\r\n  b &amp; <b>c</b>\n\nd</pre><p>What\nnow?</p>"
    assert to_text(page).splitlines() == ["It says:", "", "a:", "  b & c", "", "d", "", "What now?"]
