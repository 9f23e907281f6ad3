"""An admin's webhook, which keeps what notices come."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass, field

from inboxops.composition.world import World


def list_our_own_host(world: World) -> None:
    """As an operator does whose receiver stands in the own network."""
    world.settings = world.settings.model_copy(update={"private_hosts": "127.0.0.1"})


@dataclass
class Receiver:
    """An admin's webhook: keeps what comes, answers `status`."""

    status: int = 204
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        receiver = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/notices"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def told(self) -> list[tuple[str, bool]]:
        """(kind, over) of every notice, in order."""
        return [(one["kind"], one["over"]) for _, body in self.taken for one in json.loads(body)["data"]["notices"]]
