"""The guard for outgoing calls."""

from ipaddress import ip_address

import aiohttp
import pytest
from executor_kit import LOOPBACK
from scraper.addresses import AddressGuard, AddressNotAllowed, check_url, literal_address, parse_networks, shown_url

REFUSED = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
    "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "fe80::1%lo", "192.88.99.1", "192.0.0.8", "192.0.0.9", "203.0.113.9", "239.1.2.3",
    "fec0::1", "3fff::1", "3fff:fff:ffff::1", "5f00::1", "100::1", "100:0:0:1::1", "2001::1", "2001:2::1", "2001:20::1",
    "2001:1ff:ffff::1", "::8.8.8.8", "::ffff:0:808:808", "4000::1", "2002:c058:6301::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_fetch_guard_refuses_what_is_not_public(address: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        AddressGuard().check_address(address)
    assert (caught.value.code, caught.value.retryable) == ("ADDRESS_NOT_ALLOWED", False)


PUBLIC = [
    "1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "192.88.98.255", "192.88.100.0",
    "192.0.1.0", "100.63.255.255", "100.128.0.0", "172.32.0.0", "223.255.255.255", "192.31.196.1", "2001:200::1",
    "3fff:1000::1", "3ffe:ffff::1", "2002:808:808::1", "2620:4f:8000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_fetch_guard_allows_public_addresses(address: str) -> None:
    assert AddressGuard().allows(ip_address(address))


def test_fetch_guard_allow_list_holds_for_carried_addresses_too() -> None:
    guard = AddressGuard(parse_networks(["127.0.0.0/8", "10.0.0.7"]))
    assert guard.allows(ip_address("::ffff:127.0.0.1"))
    assert guard.allows(ip_address("10.0.0.7"))
    assert not guard.allows(ip_address("10.0.0.8"))
    assert not guard.allows(ip_address("::1"))


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "file:///etc/passwd", "javascript:1", "http://", "http:///x", "a.example/x", "", "http://a:99999/",
     "http://[::1", "http://a" + "a" * 9000],
)  # fmt: skip
def test_fetch_only_web_urls_with_a_host_pass(url: str) -> None:
    with pytest.raises(AddressNotAllowed):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/", "http://0/"]
)
def test_fetch_every_spelling_of_a_private_literal_is_refused(url: str) -> None:
    with pytest.raises(AddressNotAllowed):
        AddressGuard().check_url(url)


async def test_fetch_a_host_name_is_judged_by_its_addresses() -> None:
    with pytest.raises(AddressNotAllowed, match="localhost"):
        await AddressGuard().check_host("localhost")
    await AddressGuard(LOOPBACK).check_host("localhost")


def test_fetch_literal_addresses_are_told_from_names() -> None:
    assert literal_address("example.org") is None
    assert str(literal_address("127.1")) == "127.0.0.1"


def test_fetch_shown_urls_hide_credentials_and_secrets() -> None:
    assert shown_url("http://u:p@h/a?api_key=s&q=1#f") == "http://h/a?api_key=***&q=1"
    assert len(shown_url("http://h/" + "x" * 5000)) == 300


@pytest.mark.parametrize("port", [1, 22, 25, 6000, 6379, 10080, 27017])
def test_fetch_ports_that_no_web_server_has_are_refused_unless_a_setting_allows_them(port: int) -> None:
    url = f"http://example.org:{port}/"
    with pytest.raises(AddressNotAllowed, match=f"port {port} "):
        AddressGuard().check_url(url)
    assert AddressGuard(ports=[port]).check_url(url).port == port
    # Where a proxy listens is nobody's target.
    assert AddressGuard().check_url(url, proxy=True).port == port


@pytest.mark.parametrize("url", ["http://example.org/", "https://example.org/", "http://example.org:8080/"])
def test_fetch_ports_of_web_servers_pass(url: str) -> None:
    AddressGuard().check_url(url)


async def test_fetch_a_redirect_to_a_port_that_no_web_server_has_is_not_followed_by_any_client() -> None:
    async with aiohttp.ClientSession(connector=AddressGuard(LOOPBACK).connector()) as session:
        with pytest.raises(AddressNotAllowed, match="port 6379"):
            await session.get("http://127.0.0.1:6379/")
