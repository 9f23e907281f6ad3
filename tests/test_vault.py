"""Credentials survive a change of keys, and nothing but the right key opens them."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet

from inboxops.errors import OperatorError
from inboxops.storage.vault import Vault

SECRETS = {"username": "støtte@example.org", "password": "correct horse, battery: staple\n"}


def key() -> str:
    return Fernet.generate_key().decode()


def test_what_was_sealed_opens_again() -> None:
    vault = Vault(key())
    assert vault.open(vault.seal(SECRETS)) == SECRETS


def test_the_database_may_hand_over_a_memoryview() -> None:
    vault = Vault(key())
    assert vault.open(memoryview(vault.seal(SECRETS))) == SECRETS  # type: ignore[arg-type]


def test_sealed_bytes_show_nothing() -> None:
    sealed = Vault(key()).seal(SECRETS)
    assert b"battery" not in sealed
    assert b"password" not in base64.urlsafe_b64decode(sealed)


def test_a_new_key_in_front_reads_the_old_and_rotation_lets_the_old_one_go() -> None:
    old, new = key(), key()
    sealed = Vault(old).seal(SECRETS)
    rotated = Vault(f"{new}, {old}").rotate(sealed)
    assert Vault(f"{new},{old}").open(sealed) == SECRETS
    assert Vault(new).open(rotated) == SECRETS
    with pytest.raises(OperatorError, match="none of the keys"):
        Vault(old).open(rotated)


@pytest.mark.parametrize("keys", ["", " , ", "\n"])
def test_no_key_says_what_to_set(keys: str) -> None:
    with pytest.raises(OperatorError, match="INBOXOPS_CREDENTIAL_KEYS"):
        Vault(keys)


@pytest.mark.parametrize("malformed", ["tooshort", "é" * 32, base64.b64encode(b"x" * 31).decode()])
def test_a_malformed_key_is_not_repeated_in_the_error(malformed: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Vault(malformed)
    assert malformed not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_made_with_openssl_works() -> None:
    vault = Vault(base64.b64encode(b"\xff\xfe" * 16).decode())
    assert vault.open(vault.seal(SECRETS)) == SECRETS


@pytest.mark.parametrize("damaged", [b"", b"rubbish", b"gAAAAABrubbish"])
def test_damaged_credentials_are_an_error_that_says_what_to_do(damaged: bytes) -> None:
    vault = Vault(key())
    for attempt in (vault.open, vault.rotate):
        with pytest.raises(OperatorError, match="enter the credentials again"):
            attempt(damaged)


def test_the_vault_shows_no_key() -> None:
    secret = key()
    assert secret not in repr(Vault(secret))
