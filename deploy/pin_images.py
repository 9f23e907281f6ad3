"""`make pin-images`: each image that the deployment names by a tag, by the digest that its registry has for that tag now, in place.

    .venv/bin/python deploy/pin_images.py [--check] [FILE ...]

Speaks the registry API (OCI distribution specification 1.1, "Pulling manifests"; tokens as the specification of Docker Registry v2
authentication has them) without an account. The tag stays beside the digest for people; who pulls goes by the digest alone. Run it
again to take what a tag has moved to.

Exit code 1: with --check, something is not pinned or its tag has moved. 2: a registry could not be asked, and nothing was written.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

import httpx

ROOT = Path(__file__).parents[1]
FILES = [ROOT / name for name in ("docker-compose.yaml", "Dockerfile")]
OURS = ("inboxops:", "registry.example.com/")
"""Images that are built here, or stand for one that is: whoever pushes one is told its digest."""

DIGEST = r"sha256:[0-9a-f]{64}"
NAMED = re.compile(
    rf"^(?P<before>[ ]*(?:image:|FROM)[ ]+)(?P<image>[^\s@#$]+)(?:@(?P<digest>{DIGEST}))?(?P<after>)(?=\s|$)", re.M
)
"""Compose, Kubernetes and Dockerfiles."""
VALUES = re.compile(
    rf'^(?P<before>(?P<indent>[ ]*)repository: )(?P<image>[^\s"#]+)(?P<after>[^\n]*\n(?P=indent)tag: "?(?P<tag>[^\s"#]+)"?[^\n]*)'
    rf"(?:\n(?P=indent)digest: (?P<digest>{DIGEST}))?$",
    re.M,
)
"""Helm's: `repository:`, `tag:` below it, and `digest:` below that."""

ACCEPT = ", ".join((
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))  # fmt: skip
"""An index first: its digest is the same on every kind of machine."""


class RegistryError(Exception):
    """A registry can't be asked, or does not know the image."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file names an image. image: with its tag."""

    match: re.Match[str]
    image: str
    digest: str | None

    def pinned(self, digest: str) -> str:
        found = self.match
        if "tag" in found.groupdict():
            return f"{found['before']}{found['image']}{found['after']}\n{found['indent']}digest: {digest}"
        return f"{found['before']}{found['image']}@{digest}{found['after']}"


def places(text: str) -> Iterator[Place]:
    for match in (*NAMED.finditer(text), *VALUES.finditer(text)):
        image = f"{match['image']}:{match['tag']}" if "tag" in match.groupdict() else match["image"]
        if not image.startswith(OURS):
            yield Place(match, image, match["digest"])


def resolve(image: str) -> str:
    """The digest that the registry has for a tag. Raises RegistryError."""
    host, name, tag = split(image)
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"  # as Docker has it
    url = f"{scheme}://{host}/v2/{name}/manifests/{tag}"
    try:
        with httpx.Client(timeout=30, follow_redirects=True) as client:
            answer = client.get(url, headers={"Accept": ACCEPT})
            if answer.status_code == 401:
                authorization = f"Bearer {_token(client, answer.headers.get('www-authenticate', ''))}"
                answer = client.get(url, headers={"Accept": ACCEPT, "Authorization": authorization})
            answer.raise_for_status()
    except (httpx.HTTPError, ValueError) as exc:
        raise RegistryError(f"{image}: {exc}") from exc
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if answer.headers.get("docker-content-digest", digest) != digest:
        raise RegistryError(f"{image}: what came is not what the registry says that it is")
    return digest


def split(image: str) -> tuple[str, str, str]:
    """(host, name, tag), with what Docker leaves out for its own registry."""
    first, slash, rest = image.partition("/")
    host, name = (first, rest) if slash and (set(".:") & set(first) or first == "localhost") else ("docker.io", image)
    name, _, tag = name.partition(":")
    if host == "docker.io":
        host, name = "registry-1.docker.io", name if "/" in name else f"library/{name}"
    return host, name, tag or "latest"


def _token(client: httpx.Client, challenge: str) -> str:
    """What the server that the challenge (RFC 9110, 11.6.1) names gives to anybody."""
    scheme, _, rest = challenge.partition(" ")
    asked = parse_keqv_list(parse_http_list(rest))
    if scheme.lower() != "bearer" or "realm" not in asked:
        raise ValueError("the registry wants an account, and this asks without one")
    answer = client.get(asked.pop("realm"), params=asked).raise_for_status().json()
    return str(answer.get("token") or answer["access_token"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Pin images to their digests.")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not pinned, or has moved")
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    asked = parser.parse_args()
    texts = {path: path.read_text() for path in asked.files}
    found = {path: list(places(text)) for path, text in texts.items()}
    try:
        known = {image: resolve(image) for image in sorted({one.image for some in found.values() for one in some})}
    except RegistryError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    stale = {path: [one for one in some if one.digest != known[one.image]] for path, some in found.items()}
    for path, some in stale.items():
        for one in some:
            print(f"{path.name}: {one.image}: {one.digest or 'not pinned'} -> {known[one.image]}")
    if not asked.check:
        for path, some in stale.items():
            text = texts[path]
            for one in sorted(some, key=lambda place: place.match.start(), reverse=True):
                text = f"{text[: one.match.start()]}{one.pinned(known[one.image])}{text[one.match.end() :]}"
            path.write_text(text)
    return int(asked.check and any(stale.values()))


if __name__ == "__main__":
    sys.exit(main())
