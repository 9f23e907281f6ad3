"""Images by digest, from a registry that speaks the real protocol: Debian's docker-registry, open and with tokens."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import yaml

from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.processes import ServerProcess, free_ports
from inboxops_local.stack.layout import checkout

NO_REGISTRY = "needs a registry, which is not installed (apt-get install docker-registry)"
SCRIPT = checkout() / "deploy" / "pin_images.py"
OCI = "application/vnd.oci.image.manifest.v1+json"


def pin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port."""
    with serving(tmp_path_factory.mktemp("registry")) as host:
        yield host


@contextmanager
def serving(folder: Path, auth: dict[str, object] | None = None) -> Iterator[str]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip(NO_REGISTRY)
    (port,) = free_ports(1)
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    server = ServerProcess([program, "serve", folder / "config.yml"], [port], folder / "log")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop()


def push(host: str, name: str, tag: str, content: bytes, token: str = "") -> str:
    """An image of one layer. Returns its digest."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"http://{host}", headers=headers, trust_env=False) as client:
        stored = []
        for blob in (b"{}", content):
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            began = client.post(f"/v2/{name}/blobs/uploads/").raise_for_status()
            where = httpx.URL(began.headers["location"]).copy_merge_params({"digest": digest})
            client.put(where, content=blob, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
            stored.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(blob)})
        manifest = {"schemaVersion": 2, "mediaType": OCI, "config": stored[0], "layers": stored[1:]}
        body = json.dumps(manifest).encode()
        answer = client.put(f"/v2/{name}/manifests/{tag}", content=body, headers={"Content-Type": OCI})
        return str(answer.raise_for_status().headers["docker-content-digest"])


def deployment(folder: Path, host: str) -> dict[str, Path]:
    """The three kinds of files that name images, as ours are written."""
    files = {
        "compose.yaml": f'services:\n  ours:\n    image: inboxops:local\n  db:\n    image: {host}/db:18\n    restart: "no"\n'
        f"  roles:\n    image: {host}/db:18\n",
        "Dockerfile": f"# FROM nothing:1\nFROM {host}/tools/python:3.12-slim AS base\nRUN true\n",
        "values.yaml": f'images:\n  airflow:\n    repository: {host}/db # ours\n    tag: "18"\nexecutor: CeleryExecutor\n',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in files}


def test_every_tag_gets_its_digest_and_keeps_its_place(registry: str, tmp_path: Path) -> None:
    db, python = push(registry, "db", "18", b"one"), push(registry, "tools/python", "3.12-slim", b"two")
    files = deployment(tmp_path, registry)
    before = {name: path.read_text() for name, path in files.items()}
    checked = pin("--check", *files.values())
    assert (checked.returncode, checked.stdout.count("not pinned")) == (1, 4)
    assert {name: path.read_text() for name, path in files.items()} == before, "a check writes nothing"
    done = pin(*files.values())
    assert done.returncode == 0, done.stderr
    assert files["compose.yaml"].read_text() == before["compose.yaml"].replace("/db:18", f"/db:18@{db}")
    assert files["Dockerfile"].read_text() == before["Dockerfile"].replace("-slim", f"-slim@{python}")
    values = yaml.safe_load(files["values.yaml"].read_text())
    assert values["images"]["airflow"] == {"repository": f"{registry}/db", "tag": "18", "digest": db}
    assert (pin("--check", *files.values()).returncode, pin(*files.values()).stdout) == (0, "")


def test_a_tag_that_has_moved_is_told_and_followed(registry: str, tmp_path: Path) -> None:
    old = push(registry, "moving", "1", b"old")
    path = tmp_path / "compose.yaml"
    path.write_text(f"image: {registry}/moving:1\n")
    pin(path)
    new = push(registry, "moving", "1", b"new")
    told = pin("--check", path)
    assert (told.returncode, f"{old} -> {new}" in told.stdout) == (1, True)
    pin(path)
    assert path.read_text() == f"image: {registry}/moving:1@{new}\n"


def test_where_one_image_is_not_known_nothing_is_written(registry: str, tmp_path: Path) -> None:
    push(registry, "known", "1", b"known")
    path = tmp_path / "compose.yaml"
    text = f"image: {registry}/known:1\nimage: {registry}/unknown:1\n"
    path.write_text(text)
    done = pin(path)
    assert (done.returncode, "unknown:1" in done.stderr, path.read_text()) == (2, True, text)
    path.write_text("image: 127.0.0.1:1/nobody:1\n")
    assert pin("--check", path).returncode == 2, "a registry that is away is no clean bill"


@pytest.mark.parametrize("header", [True, False], ids=["a digest of something else", "none"])
def test_the_digest_is_that_of_what_came(header: bool, tmp_path: Path) -> None:
    """A registry, or whoever sits between, may say what it likes: who pulls would check, and so does this."""

    class Lies(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if header:
                self.send_header("Docker-Content-Digest", f"sha256:{'0' * 64}")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    path = tmp_path / "compose.yaml"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path.write_text(f"image: 127.0.0.1:{server.server_address[1]}/a:1\n")
        done = pin(path)
        server.shutdown()
    if header:
        assert (done.returncode, "not what the registry says" in done.stderr) == (2, True)
    else:
        assert f"@sha256:{hashlib.sha256(b'{}').hexdigest()}" in path.read_text()


def test_a_registry_that_wants_a_token_gets_one(tmp_path: Path) -> None:
    """As Docker's own does of everybody."""
    authority = Authority(tmp_path)
    issued = authority.issue()
    chain = [b64encode(ssl.PEM_cert_to_DER_cert(issued.cert_file.read_text())).decode()]
    asked = []

    def token(*actions: str) -> str:
        now = int(time.time())
        claims = {"iss": "tokens", "aud": "images", "sub": "", "exp": now + 60, "nbf": now - 60, "iat": now, "jti": "1"}
        claims["access"] = [{"type": "repository", "name": "db", "actions": list(actions)}]  # type: ignore[assignment]
        return jwt.encode(claims, issued.key_file.read_text(), algorithm="ES256", headers={"x5c": chain})

    class Tokens(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            body = json.dumps({"token": token("pull")}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    path = tmp_path / "compose.yaml"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = {"realm": f"http://127.0.0.1:{server.server_address[1]}/token", "service": "images", "issuer": "tokens"}
        where["rootcertbundle"] = str(authority.ca_file)
        with serving(tmp_path, {"token": where}) as host:
            digest = push(host, "db", "18", b"closed", token("pull", "push"))
            path.write_text(f"image: {host}/db:18\n")
            done = pin(path)
            assert (done.returncode, path.read_text()) == (0, f"image: {host}/db:18@{digest}\n"), done.stderr
        server.shutdown()
    assert asked == [{"service": ["images"], "scope": ["repository:db:pull"]}]


def test_ours_and_what_stands_for_it_are_left_alone_and_everything_else_is_found() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import pin_images
    finally:
        sys.path.pop(0)
    found = {one.image for path in pin_images.FILES for one in pin_images.places(path.read_text())}
    assert found == {"postgres:18", "valkey/valkey:9", "chrislusf/seaweedfs:4.48", "python:3.12-slim"}
    for name in ("airflow-values.yaml", "api.yaml"):
        assert list(pin_images.places((checkout() / "deploy" / "kubernetes" / name).read_text())) == []
    assert [
        pin_images.split(image) for image in ("postgres:18", "valkey/valkey:9", "ghcr.io/a/b:1", "localhost/c")
    ] == [
        ("registry-1.docker.io", "library/postgres", "18"),
        ("registry-1.docker.io", "valkey/valkey", "9"),
        ("ghcr.io", "a/b", "1"),
        ("localhost", "c", "latest"),
    ]
