"""What can be the host of an address that somebody is to call: proxies, webhooks, endpoints, http tasks."""

import pytest
from chassis.addresses import AddressNotAllowed, check_url
from chassis.errors import InvalidInput
from chassis.host_names import can_be_host
from scraper.accounts import read_proxy_url

HOSTS = [
    "gate-7.example",
    "my_proxy",
    "localhost",
    "bücher.example",
    "例え.jp",
    "10.0.0.1",
    "::1",
    "fe80::1%eth0",
    "a.",
    "xn--n3h",
]
NO_HOSTS = [
    "gate 7.example", "\u2028", ".", "", "a..b", "-a.example", "a-.example", "a" * 64, "a." * 200 + "a", "☃️.😀",
    "a\u0000b", "a/b", "a:b", "*", "user@host", "a,b", "１２７.0.0.1 ",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_names_and_addresses_can_be_hosts(host: str) -> None:
    assert can_be_host(host)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_no_resolver_takes_can_not(host: str) -> None:
    assert not can_be_host(host)


@pytest.mark.parametrize("host", ["gate 7.example", "\u2028", ".", "a" * 300, "☃️.😀"])
def test_proxies_and_addresses_to_call_need_a_host_that_can_be(host: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_proxy_url(f"http://{host}:3128")
    assert refused.value.field == "url"
    with pytest.raises(AddressNotAllowed):
        check_url(f"http://{host}:3128/")
