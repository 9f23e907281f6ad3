"""Hostile mail in a real browser: each of the locks alone, then the page as agents have it. The canary must never sing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.mail_view import safe, view
from tests.browser.conftest import Agent, agent, browser, customer, desk, playwright, url
from tests.intruders.payloads import CHARSETS, EVIL, HTML, TEXTS
from tests.sending.conftest import Desk
from tests.stories.conftest import mail

__all__ = ["agent", "browser", "customer", "desk", "playwright", "url"]  # fixtures

WHOLE = "INBOXOPS_TEST_INTRUDERS" in os.environ
CANARY = "window.canary = () => { window.sang = true; fetch('https://evil.example/canary'); }"

TAGS = (
    "script iframe frame frameset object embed applet form input button select textarea svg math link meta base style video audio"
    " source track template noscript dialog marquee portal fencedframe map area isindex keygen"
)
ATTRIBUTES = [
    *("id", "name", "srcset", "srcdoc", "ping", "formaction", "action", "background", "poster", "attributionsrc"),
    *("popovertarget", "contenteditable", "autofocus", "is", "slot", "part"),
]
REACHES_OUT = r"(url|image|element|expression|var)[a-z-]*\s*\(|[@\\]"
LOOK = """([tags, attributes, reaching]) => {
  const found = [];
  for (const one of document.body.querySelectorAll('*')) {
    if (tags.includes(one.localName.toLowerCase())) found.push('tag ' + one.localName);
    if (one.namespaceURI !== 'http://www.w3.org/1999/xhtml') found.push('namespace ' + one.namespaceURI);
    if (one.shadowRoot) found.push('a shadow root');
    for (const {name, value} of one.attributes) {
      if (/^on/i.test(name) || attributes.includes(name.toLowerCase())) found.push('attribute ' + name);
      if (name === 'style' && new RegExp(reaching, 'i').test(value)) found.push('style ' + value);
      if (name === 'href' && !['http:', 'https:', 'mailto:', 'tel:'].includes(one.protocol)) found.push('href ' + value);
      if (name === 'target' && value !== '_blank') found.push('target ' + value);
    }
    if (one.localName === 'a' && one.href && !/noopener/.test(one.rel)) found.push('opener');
    if (one.localName === 'img' && one.src) found.push('img ' + one.src);
  }
  return found;
}"""


def left(page: Page) -> list[str]:
    """What of a document could run or call, or take the page's names."""
    found: list[str] = page.evaluate(LOOK, [TAGS.split(), ATTRIBUTES, REACHES_OUT])
    return found


@dataclass
class Watched:
    """A page in which nothing may happen."""

    page: Page
    called: list[str] = field(default_factory=list)

    def quiet(self, payload: str) -> None:
        assert not self.page.evaluate("window.sang === true"), payload
        assert self.called == [], payload


@pytest.fixture(scope="module")
def bare(browser: Browser) -> Iterator[Watched]:
    """Without a policy, a sandbox or a session: whatever a document may do, it does here."""
    context = browser.new_context()
    context.add_init_script(CANARY)
    page = context.new_page()
    watched = Watched(page)
    context.route("**/*", lambda route: route.abort())
    context.on("request", lambda asked: watched.called.append(asked.url) if not asked.url.startswith("data:") else None)
    page.on("dialog", lambda dialog: (watched.called.append(f"dialog {dialog.message}"), dialog.dismiss()))
    context.on("page", lambda opened: watched.called.append(f"a window: {opened.url}") if opened is not page else None)
    yield watched
    context.close()


@pytest.fixture
def alone(bare: Watched) -> Watched:
    bare.page.goto("about:blank")
    bare.called.clear()
    return bare


def test_the_canary_sings_where_nothing_holds(alone: Watched) -> None:
    """Else the silence below would prove nothing."""
    alone.page.set_content(f"<img src=x onerror=canary()><img src='{EVIL}/i'>")
    alone.page.wait_for_function("window.sang === true")
    assert [url for url in alone.called if url.startswith(EVIL)]


def as_document(html: str, inline: dict[str, str]) -> str:
    return view(html, inline, with_remote=False).html


def as_fragment(html: str, inline: dict[str, str]) -> str:
    """As `GET /v1/messages/{id}/html` gives it away, for somebody's own page."""
    return safe(html, inline).html


@pytest.mark.parametrize("shown", [as_document, as_fragment])
@pytest.mark.parametrize("kind", sorted({name.partition(" ")[0] for name in HTML}))
def test_the_sanitiser_alone_leaves_nothing_to_run_or_to_call(
    alone: Watched, kind: str, shown: Callable[[str, dict[str, str]], str]
) -> None:
    for name, payload in HTML.items():
        if name.startswith(kind):
            inline = {"mine@x": "/v1/attachments/7/content"}
            alone.page.set_content(shown(f"<p>before</p>{payload}<p>after</p>", inline))
            assert left(alone.page) == [], payload
            alone.page.evaluate("document.querySelectorAll('a:not([href^=http])').forEach(one => one.click())")
            # What was parsed is parsed again: no mutation wakes it.
            alone.page.evaluate("document.body.innerHTML = document.body.innerHTML")
            assert left(alone.page) == [], payload
            alone.quiet(payload)


def test_with_images_asked_for_nothing_but_images_is_called(alone: Watched) -> None:
    whole = "".join(payload for name, payload in HTML.items() if name.startswith("call"))
    shown = view(whole, {}, with_remote=True)
    alone.page.set_content(shown.html)
    sources = alone.page.evaluate("[...document.images].map(one => one.src).filter(Boolean)")
    assert set(alone.called) <= set(sources)
    assert not alone.page.evaluate("window.sang === true")


def test_the_policy_alone_lets_nothing_run_and_nothing_out(policed: Watched) -> None:
    """Documents as the stranger wrote them, under the headers that a view has; many at a time, each in a frame of its own."""
    payloads = list(HTML.values())
    numbers = range(0, len(payloads), 1 if WHOLE else 8)
    for begin in range(0, len(numbers), AT_ONCE):
        some = [str(number) for number in numbers[begin : begin + AT_ONCE]]
        policed.page.goto(f"https://inboxops.example/frames-{'-'.join(some)}")
        frames = policed.page.main_frame.child_frames
        assert [frame.url for frame in frames] == [f"https://inboxops.example/{number}" for number in some]
        for frame, number in zip(frames, some, strict=True):
            assert frame.evaluate("typeof window.sang") == "undefined", payloads[int(number)]
        assert policed.called == [], [payloads[int(number)] for number in some]


AT_ONCE = 32


@pytest.fixture(scope="module")
def policed(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context()
    policy = view("", {}, with_remote=False).policy
    page = context.new_page()
    watched = Watched(page)
    payloads = list(HTML.values())

    def answer(route: Route) -> None:
        path = route.request.url.rpartition("/")[2]
        if path.startswith("frames-"):
            shown = "".join(f"<iframe src=/{number}></iframe>" for number in path.split("-")[1:])
            route.fulfill(status=200, content_type="text/html", body=f"<!doctype html>{shown}")
            return
        if not route.request.url.startswith("https://inboxops.example/") or not path.isdecimal():
            if not route.request.url.startswith("https://inboxops.example/"):
                watched.called.append(route.request.url)  # what a policy stops never comes here
            route.abort()
            return
        body = f"<!doctype html><script>{CANARY}</script>{payloads[int(path)]}"
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        route.fulfill(status=200, headers=headers, body=body.encode("utf-8", "replace"))

    context.route("**/*", answer)
    yield watched
    context.close()


def test_unusual_charsets_hide_nothing(agent: Agent, desk: Desk) -> None:
    """Through the whole pipeline: stored bytes, as the browser gets them."""
    raws = []
    for number, (charset, body) in enumerate(CHARSETS.values()):
        head = mail(f"charset {number}", more=f'MIME-Version: 1.0\r\nContent-Type: text/html; charset="{charset}"')
        raws.append(head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body + b"\r\n")
    desk.box.deliver(*raws)
    desk.box.run()
    agent.page.add_init_script(CANARY)
    agent.log_in()
    rows = desk.box.query(
        "SELECT id FROM messages WHERE inbox_id = %s AND direction = 'inbound' ORDER BY id", desk.box.inbox_id
    )
    assert len(rows) == len(CHARSETS)
    for (message_id,) in rows:
        agent.page.goto(f"{agent.url}/v1/messages/{message_id}/view?images=true")
        assert agent.page.evaluate("typeof window.canary") == "function", "else its silence proves nothing"
        assert not agent.page.evaluate("window.sang === true")
        assert [one for one in left(agent.page) if not one.startswith("img")] == []
    assert agent.calls == []


def test_texts_stay_texts_wherever_the_page_shows_them(agent: Agent, desk: Desk) -> None:
    """Subjects, names, addresses and names of files; in the list, the ticket, set-aside mail and the window's title."""
    for number, text in enumerate(TEXTS):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        body = (
            f'--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b\r\nContent-Type: text/html; name="{quoted}"\r\n'
            f'Content-Disposition: attachment; filename="{quoted}"\r\n\r\n<script>canary()</script>\r\n--b--'
        )
        more = (
            f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\nCc: "{quoted}" <c{number}@x.example>'
        )
        spam = "\r\nX-Spam-Flag: YES" if number % 4 == 3 else ""
        desk.box.deliver(
            mail(f"{number} {text}", sender=f'"{quoted}" <s{number}@x.example>', more=more + spam, body=body)
        )
    desk.box.run()
    agent.page.add_init_script(CANARY)
    agent.log_in()
    agent.page.locator(".row").first.wait_for()
    rows = agent.page.locator(".row")
    assert rows.count() >= len(TEXTS) // 2
    for number in range(rows.count()):
        rows.nth(number).click()
        agent.page.locator(".message").first.wait_for()
        assert not agent.page.evaluate("window.sang === true")
    agent.page.goto(f"{agent.url}/aside/listed")
    expect(
        agent.page.get_by_text("<script>").or_(agent.page.get_by_text("onload")).or_(agent.page.locator(".row")).first
    ).to_be_visible()
    assert not agent.page.evaluate("window.sang === true")
    assert agent.calls == []


def test_another_page_frames_neither_the_page_nor_a_mail(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Framed")
    agent.log_in()
    (message,) = desk.box.query("SELECT max(id) FROM messages WHERE inbox_id = %s", desk.box.inbox_id)[0]
    context = agent.page.context
    targets = ["/", "/login", f"/v1/messages/{message}/view", "/v1/session", "/openapi.json"]
    frames = "".join(f"<iframe src='{agent.url}{path}'></iframe>" for path in targets[:-1])
    context.route("https://evil.example/**", lambda route: route.fulfill(content_type="text/html", body=frames))
    page = context.new_page()
    page.goto("https://evil.example/frames")
    page.wait_for_load_state("networkidle")
    for frame in page.frames[1:]:
        assert frame.url.startswith("chrome-error:") or frame.evaluate("document.body.innerText.trim()") in (
            "",
            "null",
        ), frame.url


def test_an_agent_sees_before_sending_that_an_answer_goes_elsewhere(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Poisoned", more="Reply-To: Anna <evil@evil.example>")
    desk.ticket(subject="Plain")
    agent.log_in()
    agent.open("Poisoned")
    to = agent.page.locator(".composer .to")
    expect(to).to_contain_text("evil@evil.example")
    expect(to.get_by_role("note")).to_have_text("not to ann@customer.example")
    agent.open("Plain")
    expect(agent.page.locator(".composer .to")).to_contain_text("ann@customer.example")
    expect(agent.page.locator(".composer .to").get_by_role("note")).to_have_count(0)
