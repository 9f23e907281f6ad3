"""What both stand-ins share: calls and replies as values, a table of routes, faults on demand, and a server in a thread.

A handler is called in a thread with a `Call` and answers a `Reply`, so that a part of a Gmail batch goes through the same
routes as a request of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import uvicorn

from inboxops.errors import OperatorError

START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is decoded, header names are lower case, a repeated query field keeps its last value."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    base: str = ""
    """`scheme://host:port` as the client sees this server."""

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """Raises Refused for a body that is no JSON."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError as exc:
            raise Refused(Reply.json({"error": {"code": "invalidRequest", "message": "no JSON"}}, 400)) from exc


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return cls(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    @classmethod
    def html(cls, text: str, status: int = 200) -> Reply:
        return cls(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})

    @classmethod
    def redirect(cls, url: str) -> Reply:
        return cls(302, b"", {"Location": url})


class Refused(Exception):
    """A handler's way out with an error reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


Handle = Callable[..., Reply]


class Routes:
    """`GET /users/{user}/messages/{id}` and the like. The first route that fits takes the call."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handle]] = []

    def add(self, method: str, pattern: str, handle: Handle) -> None:
        """`{name}` stands for one segment of the path and is handed over as a keyword."""
        expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
        self._routes.append((method, re.compile(expression), handle))

    def answer(self, call: Call) -> Reply:
        for method, pattern, handle in self._routes:
            found = pattern.fullmatch(call.path) if method == call.method else None
            if found:
                try:
                    return handle(call, **found.groupdict())
                except Refused as exc:
                    return exc.reply
        return Reply.json({"error": {"code": "notFound", "message": f"no route {call.method} {call.path}"}}, 404)


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that replaces the true one: for calls whose `METHOD /path?query` matches, after `after` of them, `times` times."""

    match: str
    status: int = 503
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0


class StandIn:
    """Routes behind a switchboard that counts requests and plays faults. Its control routes are under `/_admin`.

    born: seconds since the epoch, by default now; mailboxes count from there.
    """

    def __init__(self, *, born: float | None = None) -> None:
        self.born = time.time() if born is None else born
        self.lock = threading.RLock()
        self.requests: list[str] = []
        """`METHOD /path?query` of every HTTP request but those of `/_admin`, in order."""
        self.at: Callable[[str, str], None] = lambda when, line: None
        """Called with "before" or "behind" each HTTP request and its line, while the client waits for the answer."""
        self._faults: list[Fault] = []
        self.routes = Routes()
        self.routes.add("POST", "/_admin/faults", self._add_fault)
        self.routes.add("DELETE", "/_admin/faults", self._clear_faults)
        self.routes.add("GET", "/_admin/requests", self._show_requests)
        self.routes.add("DELETE", "/_admin/requests", self._forget_requests)

    def fail(self, fault: Fault) -> None:
        with self.lock:
            self._faults.append(fault)

    def heal(self) -> None:
        with self.lock:
            self._faults.clear()

    def answer(self, call: Call) -> Reply:
        """A whole HTTP request."""
        if call.path.startswith("/_admin"):
            return self.dispatch(call)
        with self.lock:
            self.requests.append(_line(call))
        self.at("before", _line(call))
        reply = self.dispatch(call)
        self.at("behind", _line(call))
        return reply

    def dispatch(self, call: Call) -> Reply:
        """A request, or a part of one."""
        fault = self._fault(call)
        if fault is not None:
            return Reply(fault.status, fault.body.encode(), {"Content-Type": "application/json", **fault.headers})
        return self.routes.answer(call)

    def _fault(self, call: Call) -> Fault | None:
        line = _line(call)
        with self.lock:
            for position, fault in enumerate(self._faults):
                if call.path.startswith("/_admin") or not re.search(fault.match, line):
                    continue
                if fault.after:
                    self._faults[position] = replace(fault, after=fault.after - 1)
                    continue
                self._faults[position] = replace(fault, times=fault.times - 1)
                if self._faults[position].times <= 0:
                    del self._faults[position]
                return fault
        return None

    def _add_fault(self, call: Call) -> Reply:
        self.fail(Fault(**call.json()))
        return Reply(204)

    def _clear_faults(self, call: Call) -> Reply:
        self.heal()
        return Reply(204)

    def _show_requests(self, call: Call) -> Reply:
        with self.lock:
            return Reply.json(list(self.requests))

    def _forget_requests(self, call: Call) -> Reply:
        with self.lock:
            self.requests.clear()
        return Reply(204)


def _line(call: Call) -> str:
    query = "&".join(f"{name}={value}" for name, value in call.query.items())
    return f"{call.method} {call.path}" + (f"?{query}" if query else "")


class Serving:
    """A stand-in that listens on 127.0.0.1, in a thread, until `stop`. Port 0 takes a free one.

    chain_file: PEM with certificate and key; with it the server speaks TLS, and clients trust `ca_file`.
    Raises OperatorError when the port is taken.
    """

    def __init__(
        self, stand_in: StandIn, *, port: int = 0, chain_file: Path | None = None, ca_file: Path | None = None
    ) -> None:
        self.ca_file = ca_file
        try:
            self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        except OSError as exc:
            raise OperatorError(
                f"port {port} is taken", fix="Stop what listens there, or choose another --port"
            ) from exc
        self.stand_in = stand_in
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if chain_file else 'http'}://{'localhost' if chain_file else '127.0.0.1'}:{self.port}"
        config = uvicorn.Config(
            _Application(stand_in),
            log_config=None,
            access_log=False,
            lifespan="off",
            ssl_certfile=str(chain_file) if chain_file else None,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True, name="stand-in")
        self._thread.start()
        for _ in range(START_SECONDS * 50):
            if self._server.started or not self._thread.is_alive():
                break
            self._thread.join(0.02)
        if not self._server.started:
            raise OperatorError("the stand-in did not start")

    def wait(self) -> None:
        """Until the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class _Application:
    """ASGI, as little of it as a request needs."""

    stand_in: StandIn

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        fields = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        lists: dict[str, list[str]] = {}
        for name, value in fields:
            lists.setdefault(name, []).append(value)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(
            method=scope["method"],
            path=unquote(scope["raw_path"].decode("ascii", "replace")) if scope.get("raw_path") else scope["path"],
            query=dict(fields),
            headers=headers,
            body=bytes(body),
            lists=lists,
            base=f"{scope['scheme']}://{headers.get('host', '')}",
        )
        reply = await asyncio.get_running_loop().run_in_executor(None, self.stand_in.answer, call)
        answered = {"Content-Length": str(len(reply.body)), **reply.headers}
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answered.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
