"""The ports that the local stack listens on."""

from __future__ import annotations

from functools import cached_property

from pydantic_settings import BaseSettings, SettingsConfigDict


class Ports(BaseSettings):
    """TCP ports of the local stack, all on 127.0.0.1. `INBOXOPS_PORT_BASE` moves them together."""

    model_config = SettingsConfigDict(env_prefix="INBOXOPS_PORT_", extra="ignore")

    base: int = 8080

    @cached_property
    def airflow(self) -> int:
        return self.base

    @cached_property
    def api(self) -> int:
        return self.base + 1

    @cached_property
    def postgres(self) -> int:
        return self.base + 2

    @cached_property
    def redis(self) -> int:
        return self.base + 3

    @cached_property
    def s3(self) -> int:
        return self.base + 4

    @cached_property
    def s3_internal(self) -> tuple[int, int, int]:
        """seaweedfs master, volume and filer."""
        return self.base + 5, self.base + 6, self.base + 7

    @cached_property
    def imap(self) -> int:
        return self.base + 8

    @cached_property
    def smtp(self) -> int:
        return self.base + 9

    @cached_property
    def s3_grpc(self) -> tuple[int, int, int, int]:
        """gRPC of seaweedfs S3, master, volume and filer."""
        return self.base + 10, self.base + 11, self.base + 12, self.base + 13

    @cached_property
    def gmail(self) -> int:
        return self.base + 14

    @cached_property
    def graph(self) -> int:
        return self.base + 15

    @cached_property
    def all(self) -> range:
        """The whole block."""
        return range(self.base, self.base + 16)
