"""What leaves a browser: by its run's way out, or not at all. And what one run's pages can't do to another's."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from executor_kit import ANYWHERE
from integration.browser_kit import do, pool_in, site, until
from scraper.addresses import AddressGuard, AddressNotAllowed, parse_networks
from scraper.browser import BrowserPool, PoolSettings
from scraper.browser_options import BrowserOptions
from scraper.executor import ExecutorError
from scraper.proxy_chain import ProxyChain
from stores import free_port

# Every way of asking for something that pages have, each at the address `DOOR`.
WAYS = """<!doctype html><title>ways</title>
<link rel=preconnect href="http://DOOR"><link rel=prefetch href="http://DOOR/"><link rel=stylesheet href="http://DOOR/">
<script type=speculationrules>{"prefetch": [{"urls": ["http://DOOR/"], "eagerness": "immediate"}]}</script>
<iframe src="http://DOOR/"></iframe><iframe src="/to?to=http://DOOR/"></iframe><img src="/to?to=http://DOOR/">
<img src="http://[::ffff:127.0.0.2]:PORT/"><img src="http://0x7f.2:PORT/">
<script>
const code = "fetch('http://DOOR/', {mode: 'no-cors'}).catch(() => 0)";
const end = promise => new Promise(done => promise.then(() => done('reached'), () => done('refused')));
const event = (it, name) => new Promise(done => {
  it[name] = () => done('reached'); it.onerror = () => done('refused') });
navigator.sendBeacon('http://DOOR/', 'x');
window.open('http://DOOR/');
new Worker(URL.createObjectURL(new Blob([code])));
const peer = new RTCPeerConnection({iceServers: ['stun:UDP', 'turn:UDP', 'turn:DOOR?transport=tcp'].map(urls => (
  {urls, username: 'u', credential: 'c'}))});
peer.createDataChannel('x');
let candidates = 0;
peer.onicecandidate = found => { candidates += found.candidate !== null };
const gathered = new Promise(done => { peer.onicegatheringstatechange = () =>
  peer.iceGatheringState === 'complete' && done(candidates) });
peer.createOffer().then(offer => peer.setLocalDescription(offer));
window.tried = async () => [
  await end(fetch('http://DOOR/', {mode: 'no-cors'})), await event(new WebSocket('ws://DOOR/'), 'onopen'),
  await event(new EventSource('http://DOOR/'), 'onopen'),
  await end(new WebTransport('https://UDP/').ready), await gathered];
</script>"""
CLICKED = """<!doctype html><title>c</title><button onclick="window.open('/detail?n=1')">Open</button>"""
TIMED = """<!doctype html><title>t</title><script>let n = 0; const timer = setInterval(() => {
  for (let i = 0; i < 10; i++) { open('/detail?n=2', '_blank', i % 2 ? 'noopener' : ''); n += 1 }
  if (n === 100) { clearInterval(timer); document.title = 'done' } }, 10)</script>"""
GREEDY = """<!doctype html><title>g</title><script>const kept = []; setInterval(() => {
  const more = new Uint8Array(32 << 20).fill(1); kept.push(more) }, 20)</script>"""


def nothing(_what: object) -> None:
    """A guard for tests that need none."""


class Datagrams(asyncio.DatagramProtocol):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.count += 1


@asynccontextmanager
async def doors() -> AsyncIterator[tuple[int, int, list[int], Datagrams]]:
    """A port of 127.0.0.2 that counts connections, one of 127.0.0.1 that counts datagrams, and what came."""
    came: list[int] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(1)
        writer.close()

    server = await asyncio.start_server(knocked, "127.0.0.2", 0)
    counted = asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    transport, datagrams = await counted
    try:
        yield server.sockets[0].getsockname()[1], transport.get_extra_info("sockname")[1], came, datagrams
    finally:
        server.close()
        transport.close()


def profiles(work: Path) -> Iterator[Path]:
    return (work / "browsers").glob("*")


def guarded_pool(directory: Path) -> BrowserPool:
    """One that reaches 127.0.0.1 and nothing else that is private."""
    return BrowserPool(PoolSettings(work_dir=directory, marker="w"), AddressGuard(parse_networks(["127.0.0.1"])))


async def test_navigations_say_why_they_are_refused(tmp_path):
    pool = guarded_pool(tmp_path)
    async with site() as shop:
        port = shop.url.rsplit(":", 1)[1]
        private = f"http://127.0.0.2:{port}/shop"
        refused = {private: "address 127.0.0.2", f"{shop.url}/to?to={private}": "address 127.0.0.2"}
        refused |= {"http://127.0.0.1:22/": "port 22", "http://127.0.0.1:6379/": "port 6379"}
        for url, why in refused.items():
            with pytest.raises(ExecutorError, match=why) as caught:
                await do(pool, {"BASE_URL": url})
            assert (caught.value.code, caught.value.retryable) == ("ADDRESS_NOT_ALLOWED", False)
        with pytest.raises(ExecutorError, match=r"resolved: no-such-host\.invalid") as caught:
            await do(pool, {"BASE_URL": "http://no-such-host.invalid/"})
        assert caught.value.code == "NAVIGATION_FAILED"
        assert "/shop" not in shop.asked
    await pool.close()


async def test_nothing_of_a_page_reaches_a_refused_address_nor_leaves_beside_the_way_out(tmp_path):
    pool = guarded_pool(tmp_path)
    async with site() as shop, doors() as (port, udp, came, datagrams):
        page = WAYS.replace("DOOR", f"127.0.0.2:{port}").replace("PORT", str(port)).replace("UDP", f"127.0.0.1:{udp}")
        shop.pages["/ways"] = page
        async with pool.lease(BrowserOptions(), nothing) as lease:
            tab = await lease.new_page()
            await tab.goto(f"{shop.url}/ways", wait_until="domcontentloaded")
            assert await tab.evaluate("tried()") == [*["refused"] * 4, 0]
            # Programs that Chromium gives other addresses to (`mailto:`) are none.
            path = psutil.Process(pool.process_id).environ()["PATH"]
            assert shutil.which("xdg-open", path=path) == str(next(profiles(tmp_path)) / "handlers" / "xdg-open")
    await pool.close()
    assert (came, datagrams.count) == ([], 0)


async def test_a_proxy_is_asked_for_no_refused_target():
    asked = []

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
        writer.close()

    server = await asyncio.start_server(proxied, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    chain = ProxyChain(address, AddressGuard(parse_networks(["127.0.0.1"])))
    for host in ("10.11.12.13", "169.254.169.254", "::ffff:10.0.0.1", "0x7f.2", "127.0.0.2"):
        with pytest.raises(AddressNotAllowed):
            await chain.connect(host, 80)
    # A name that only the proxy knows is the proxy's to judge.
    with contextlib.suppress(Exception):
        await chain.connect("known-to-the-proxy.invalid", 80)
    assert asked == ["known-to-the-proxy.invalid:80"]
    server.close()
    inside = ProxyChain(f"http://127.0.0.1:{free_port()}", AddressGuard())
    with pytest.raises(AddressNotAllowed, match="localhost is at"):
        await inside.connect("localhost", 80)


async def test_a_run_has_ten_windows_and_those_that_no_click_asked_for_do_not_open(tmp_path):
    pool, said = pool_in(tmp_path), []
    async with site() as shop:
        shop.pages |= {"/clicked": CLICKED, "/timed": TIMED}
        options = {"log": lambda _level, message, **data: said.append((message, data))}
        async with pool.lease(BrowserOptions(), nothing, **options) as lease:
            tab = await lease.new_page()
            await tab.goto(f"{shop.url}/timed")
            await tab.wait_for_function("document.title === 'done'")
            blocked = 100 - (len(lease.context.pages) - 1)
            assert blocked > 90
        assert said[-1][1] == {"blocked": blocked, "closed": 0}
        async with pool.lease(BrowserOptions(), nothing, **options) as lease:
            tab = await lease.new_page()
            await tab.goto(f"{shop.url}/clicked")
            for number in range(13):
                await tab.bring_to_front()
                async with lease.context.expect_page(timeout=60_000):
                    await tab.click("button")
                await until(lambda known=number: len(lease.context.pages) == min(known + 2, 10), 60)
        assert said[-1][1] == {"blocked": 0, "closed": 4}
    await pool.close()


async def test_a_page_that_takes_too_much_memory_ends_alone(tmp_path):
    pool = pool_in(tmp_path, memory_bytes=1024**3)
    async with site() as shop:
        shop.pages["/greedy"] = GREEDY
        async with pool.lease(BrowserOptions(), nothing) as one, pool.lease(BrowserOptions(), nothing) as other:
            greedy, modest = await one.new_page(), await other.new_page()
            await modest.goto(f"{shop.url}/detail?n=1")
            await greedy.goto(f"{shop.url}/greedy")
            await until(lambda: one.page_crashed, 60)
            assert "too much memory" in one.crash_reason
            assert await modest.evaluate("1 + 1") == 2
            assert not await other.crashed()
    await pool.close()


async def test_lookups_that_nobody_answers_hold_up_no_other_run():
    """A run's lookups have a bound; another's don't wait for them."""
    slow, other = ProxyChain("http://127.0.0.1:1", ANYWHERE), ProxyChain("http://127.0.0.1:1", ANYWHERE)
    for _ in range(4):
        await slow._lookups.acquire()
    waiting = asyncio.create_task(slow.resolve("localhost"))
    assert "127.0.0.1" in await other.resolve("localhost")
    assert not waiting.done()
    waiting.cancel()
