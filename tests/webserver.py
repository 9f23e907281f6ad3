"""The API behind a real server on a port, in a thread: for what a test client can't do, such as streams and browsers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports, wait_until


@contextmanager
def serving(settings: Settings, port: int | None = None) -> Iterator[str]:
    """The base URL."""
    port = port or free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    app = create_app(settings.model_copy(update={"api_url": url}))
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until("the API to listen", lambda: server.started)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=60)
