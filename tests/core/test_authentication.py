"""What receiving servers say of who sent a mail, and what strangers have them quote (RFC 8601)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.authentication import UNNAMED, is_forged, of_cloud, on_top, read, results, server_names
from inboxops.errors import InvalidInput

MX = "mx.shop.example"
OURS = frozenset({MX})
GMAIL, MICROSOFT = of_cloud("gmail", ""), of_cloud("microsoft", "")

SAID: dict[str, tuple[str, str, dict[str, str]]] = {
    "nothing was checked": (f"{MX}; none", MX, {}),
    "nothing at all": ("", UNNAMED, {}),
    "no results": (MX, MX, {}),
    "one": (f"{MX}; spf=pass smtp.mailfrom=a.example", MX, {"spf": "pass"}),
    "several": (f"{MX}; spf=pass; dkim=fail; dmarc=none", MX, {"spf": "pass", "dkim": "fail", "dmarc": "none"}),
    "folded": (f"{MX};\r\n\tspf=pass\r\n smtp.mailfrom=a;\r\n dmarc = fail", MX, {"spf": "pass", "dmarc": "fail"}),
    "upper case": ("MX.Shop.Example; SPF=Pass", MX, {"spf": "pass"}),
    "a version": (f"{MX} 1; spf=pass", MX, {"spf": "pass"}),
    "a version behind a slash": (f"{MX}/1; spf=pass", MX, {"spf": "pass"}),
    "a version that nobody knows": (f"{MX} 2; spf=pass", MX, {}),
    "a version of the method": (f"{MX}; spf/1=pass; dkim / 1 = fail", MX, {"spf": "pass", "dkim": "fail"}),
    "a name in quotes": (f'"{MX}"; spf=pass', MX, {"spf": "pass"}),
    "a name with an escaped letter": (r'"mx.\shop.example" 1; spf=pass', MX, {"spf": "pass"}),
    "comments everywhere": (f"(a) {MX} (b) 1 (c); (d) spf (e) = (f) pass (g)", MX, {"spf": "pass"}),
    "a comment in a comment": (f"{MX}; spf=pass (a (b; dmarc=pass) c; dmarc=pass); dmarc=fail", MX, {"spf": "pass", "dmarc": "fail"}),
    "an escaped bracket in a comment": (f"{MX}; spf=pass (a \\( b); dmarc=fail", MX, {"spf": "pass", "dmarc": "fail"}),
    "a result in quotes": (f'{MX}; spf=fail smtp.mailfrom="a;dmarc=pass"@evil.example; dmarc=fail', MX, {"spf": "fail", "dmarc": "fail"}),
    "a reason": (f'{MX}; dkim=fail reason="bad; dkim=pass \\" ; dmarc=pass" header.d=a; dmarc=none', MX, {"dkim": "fail", "dmarc": "none"}),
    "a quoted bracket": (f'{MX}; spf=fail smtp.mailfrom="("@evil.example; dmarc=fail', MX, {"spf": "fail", "dmarc": "fail"}),
    "a result that is a property": (f"{MX}; spf=fail policy.x=y dmarc=pass", MX, {"spf": "fail"}),
    "a signature that holds among others": (f"{MX}; dkim=fail header.d=a; dkim=pass header.d=b; dkim=none", MX, {"dkim": "pass"}),
    "two words on one question": (f"{MX}; dmarc=pass; dmarc=fail; spf=none smtp.helo=a; spf=fail smtp.mailfrom=b", MX, {"dmarc": "fail", "spf": "fail"}),
    "a comment that a stranger closed": (f"{MX}; spf=fail (of a);dmarc=pass (b@evil.example); dmarc=fail", MX, {"spf": "fail", "dmarc": "fail"}),
    "a comment without an end": (f"{MX}; dkim=pass; spf=fail (of a( ; dmarc=pass; dmarc=fail", MX, {"spf": "fail", "dmarc": "fail"}),
    "a quotation without an end": (f'{MX}; dkim=pass; spf=pass smtp.mailfrom="a; dmarc=fail', MX, {"dmarc": "fail"}),
    "a bracket too many": (f"{MX}; dkim=pass) ; dmarc=fail", MX, {"dmarc": "fail"}),
    "too long to be read": (f"{MX}; dmarc=pass ({'x' * 40_000}", MX, {}),
    "Gmail's": (
        "mx.google.com;\r\n       dkim=pass header.i=@a.example header.s=s header.b=Ax3/+=;\r\n       spf=pass (google.com: domain of b@a.example"
        " designates 192.0.2.1 as permitted sender) smtp.mailfrom=b@a.example;\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=a.example",
        "mx.google.com",
        {"dkim": "pass", "spf": "pass", "dmarc": "pass"},
    ),
    "Exchange Online's": (
        "spf=fail (sender IP is 192.0.2.1)\r\n smtp.mailfrom=a.example; dkim=none (message not signed)\r\n header.d=none;dmarc=fail action=oreject"
        " header.from=a.example;compauth=fail\r\n reason=000",
        UNNAMED,
        {"spf": "fail", "dkim": "none", "dmarc": "fail", "compauth": "fail"},
    ),
    "Exchange Online's of 2017": (
        "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.example; hotmail.com; dkim=test (signature was verified) header.d=a.example;hotmail.com;"
        " dmarc=pass action=none header.from=a.example;",
        UNNAMED,
        {"spf": "pass", "dkim": "test", "dmarc": "pass"},
    ),
    "Postfix' own": ("auth=pass smtp.auth=ann smtp.mailfrom=ann@a.example", UNNAMED, {"auth": "pass"}),
}  # fmt: skip


@pytest.mark.parametrize(("value", "server", "found"), SAID.values(), ids=SAID)
def test_what_a_header_says(value: str, server: str, found: dict[str, str]) -> None:
    said = read(value)
    assert (said.server, said.results) == (server, found)


def head(*values: str) -> tuple[tuple[str, str], ...]:
    """Authentication-Results; a value with a colon is another header."""
    return tuple(
        (value.partition(":")[0], value.partition(":")[2]) if ": " in value else ("Authentication-Results", value)
        for value in values
    )


HEADS: dict[str, tuple[tuple[tuple[str, str], ...], frozenset[str], dict[str, str]]] = {
    "nobody is trusted": (head(f"{MX}; dmarc=pass"), frozenset(), {}),
    "somebody else's word": (head("evil.example; dmarc=pass"), OURS, {}),
    "a name that only begins so": (head(f"{MX}.evil.example; dmarc=pass"), OURS, {}),
    "trusted in any case": (head(f"{MX}; dmarc=pass"), frozenset({"MX.shop.EXAMPLE"}), {"dmarc": "pass"}),
    "below another server's": (head("inner.example; none", f"{MX}; dmarc=fail"), OURS, {"dmarc": "fail"}),
    "a stranger's below": (head(f"{MX}; spf=fail", f"{MX}; dmarc=pass; dkim=pass"), OURS, {"spf": "fail"}),
    "a stranger's below Received": (head(f"{MX}; spf=fail", "Received: x", f"{MX}; dmarc=fail"), OURS, {"spf": "fail"}),
    "a stranger's below another's": (head(f"{MX}; spf=pass", "b.example; none", f"{MX}; dmarc=fail"), OURS, {"spf": "pass"}),
    "two checks of one server": (head(f"{MX}; dmarc=none", f"{MX}; spf=fail; dkim=fail"), OURS, {"dmarc": "none", "spf": "fail"}),
    "Received above": (head("Received: x", "Received: y", f"{MX}; dmarc=fail"), OURS, {"dmarc": "fail"}),
    "Exchange Online on top": (head("spf=pass; dmarc=pass", "dmarc=fail"), MICROSOFT, {"spf": "pass", "dmarc": "pass"}),
    "no name, and not on top": (head("evil.example; none", "dmarc=pass"), MICROSOFT, {}),
    "no name, and nobody said so": (head("dmarc=pass"), OURS, {}),
    "Google's": (head("mx.google.com; dmarc=pass"), GMAIL, {"dmarc": "pass"}),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "trusted", "found"), HEADS.values(), ids=HEADS)
def test_whose_word_counts(
    headers: tuple[tuple[str, str], ...], trusted: frozenset[str], found: dict[str, str]
) -> None:
    assert results(headers, trusted) == found


@pytest.mark.parametrize(
    ("connection_type", "host", "found"),
    [
        ("gmail", "", {"mx.google.com"}),
        ("imap", "imap.gmail.com", {"mx.google.com"}),
        ("microsoft", "", {UNNAMED}),
        ("imap", "Outlook.Office365.com", {UNNAMED}),
        ("imap", "imap.acme.example", set()),
        ("jmap", "", set()),
    ],
)
def test_known_clouds_have_known_servers(connection_type: str, host: str, found: set[str]) -> None:
    assert of_cloud(connection_type, host) == found


def test_a_server_is_called_by_one_word() -> None:
    assert server_names([" MX.Acme.example", UNNAMED]) == ["mx.acme.example", UNNAMED]
    for name in ("", "a b", "a;b", "a=b", "(x)", '"a"', "x" * 300):
        with pytest.raises(InvalidInput, match="no name that a server"):
            server_names([name])


def test_what_stands_on_top() -> None:
    assert on_top(head("Received: x", f'"{MX}"; none', "b.example; none")) == MX
    assert (on_top(head("spf=pass")), on_top(head("Received: x"))) == (UNNAMED, "")


PIECES = st.sampled_from(
    [*'();=/"\\ \r\n', "mx", "1", "spf", "dmarc", "pass", "fail", "\udcff", "é", "(", '"', "x" * 50]
)


@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_nothing_that_may_stand_there_raises(value: str) -> None:
    said = read(value)
    assert all(method == method.lower() and result == result.lower() for method, result in said.results.items())
    assert isinstance(is_forged(said.results), bool)


@given(st.text(alphabet='a();=\\" ', max_size=30))
def test_no_quoted_address_turns_a_failure_into_a_pass(local: str) -> None:
    """A server that quotes as RFC 5322 says, in a value and in a comment."""
    in_value = local.replace("\\", "\\\\").replace('"', '\\"')
    in_comment = "".join(f"\\{char}" if char in '()\\"' else char for char in local)
    said = read(f'{MX}; spf=fail (of {in_comment}@evil.example) smtp.mailfrom="{in_value}"@evil.example; dmarc=fail')
    assert said.results == {"spf": "fail", "dmarc": "fail"}


@given(st.text(alphabet='a();=\\" dmrcps', max_size=40))
def test_no_address_that_is_not_quoted_either(local: str) -> None:
    said = read(f"{MX}; dkim=pass; spf=fail (of {local}@evil.example) smtp.mailfrom={local}@evil.example; dmarc=fail")
    assert is_forged(said.results)
