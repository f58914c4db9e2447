"""Secrets of accounts and proxies: sealed at rest, read from any form, never guessed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chassis.errors import InvalidInput, Unavailable
from scraper.accounts import Proxy, account_hash, full_url, read_cookies, read_proxy_url
from scraper.secret_box import SecretBox, make_secret_box


def test_what_is_sealed_can_only_be_opened_with_the_key() -> None:
    box = SecretBox(["first key, long enough"])
    sealed = box.seal("s3cret")
    assert "s3cret" not in sealed
    assert sealed != box.seal("s3cret"), "the same text twice can't be told"
    assert box.open(sealed) == "s3cret"
    with pytest.raises(Unavailable):
        SecretBox(["another key, long enough"]).open(sealed)
    with pytest.raises(Unavailable):
        SecretBox([]).seal("s3cret")


def test_a_key_can_be_replaced() -> None:
    old = SecretBox(["the old key long enough"])
    both = make_secret_box("the new key long enough, the old key long enough", None)
    assert both.open(old.seal("s3cret")) == "s3cret"
    assert SecretBox(["the new key long enough"]).open(both.seal("s3cret")) == "s3cret"


def test_a_placeholder_is_no_key() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        make_secret_box("replace-me", None)


def test_the_key_file_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secrets-key"
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda _: make_secret_box(None, path), range(8)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["secrets-key"]
    sealed = boxes[0].seal("s3cret")
    assert {box.open(sealed) for box in boxes} == {"s3cret"}


@pytest.mark.parametrize(
    "raw",
    [
        {"auth_token": "a", "ct0": "b"},
        "auth_token=a; ct0=b",
        [{"name": "auth_token", "value": "a", "domain": ".x.com"}, {"name": "ct0", "value": "b"}],
    ],
)
def test_cookies_come_in_three_forms(raw: Any) -> None:
    assert read_cookies(raw) == {"auth_token": "a", "ct0": "b"}


@pytest.mark.parametrize(
    "raw",
    [
        7,
        {},
        {"auth_token": "a"},
        {"auth_token": "a", "ct0": 7},
        {"auth_token": "a", "ct0": "b\r\nSet-Cookie: c"},
        {"auth_token": "a", "ct0": "b; c=d"},
        {"auth_token": "a", "ct0": "b", "": "c"},
        {"auth_token": "a", "ct0": "b" * 5_000},
        [7],
    ],
)
def test_cookies_that_are_none_are_refused_by_name(raw: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_cookies(raw)
    assert caught.value.field == "cookies"
    assert "b\r\n" not in caught.value.message


def test_a_proxys_credentials_are_taken_out_of_its_address() -> None:
    url, credentials = read_proxy_url("socks5://na%40me:pa%3Ass@proxy.example.com:1080")
    assert (url, credentials) == ("socks5://proxy.example.com:1080", "na@me:pa:ss")
    assert full_url(Proxy("proxy-1", "", url, "", 0, 0), credentials) == (
        "socks5://na%40me:pa%3Ass@proxy.example.com:1080"
    )


@pytest.mark.parametrize(
    "raw",
    ["", "proxy:80", "ftp://proxy:80", "http://proxy", "http://:80", "http://proxy:80/path", "http://proxy:99999"],
)
def test_an_address_that_is_no_proxy_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_proxy_url(raw)
    assert caught.value.field == "url"


def test_results_tell_accounts_apart_without_naming_them() -> None:
    assert account_hash("account-1") == account_hash("account-1") != account_hash("account-2")
    assert "account" not in account_hash("account-1")
