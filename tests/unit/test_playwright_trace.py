"""What is taken out of a Playwright trace before it is kept, and what stays of its raw parts."""

import io
import zipfile

import orjson
from scraper import playwright_trace
from scraper.playwright_trace import TraceFolder, clean
from scraper.step_templates import Redactor

ENTRY = {
    "type": "resource-snapshot",
    "snapshot": {
        "request": {"headers": [{"name": "Cookie", "value": "a=k1"}, {"name": "Accept", "value": "x"}], "cookies": [1]},
        "response": {"headers": [{"name": "set-cookie", "value": "a=k2"}], "cookies": [2], "status": 200},
    },
}


def packed(path, members):
    with zipfile.ZipFile(path, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def test_cookies_logins_hidden_values_and_our_own_call_sites_are_taken_out(tmp_path):
    redactor = Redactor()
    redactor.hide("geheim-7")
    network = orjson.dumps(ENTRY) + b"\n\n" + b"no json"
    members = {
        "trace.trace": b'{"v":"geheim-7"}',
        "trace.network": network,
        "a.jpeg": b"\xff\xd8\xff",
        "x.stacks": b"p",
    }
    kept = clean(packed(tmp_path / "t.zip", members), redactor)
    with zipfile.ZipFile(io.BytesIO(kept)) as cleaned:
        assert cleaned.namelist() == ["trace.trace", "trace.network", "a.jpeg"]
        assert cleaned.read("trace.trace") == b'{"v":"***"}'
        assert cleaned.read("a.jpeg") == members["a.jpeg"]
        line, *rest = cleaned.read("trace.network").split(b"\n")
    assert rest == [b"", b"no json"]
    assert (b"k1" in line, b"k2" in line, b'"status":200' in line, b'"value":"x"' in line) == (False, False, True, True)
    assert orjson.loads(line)["snapshot"]["request"]["cookies"] == []


def test_a_trace_that_is_too_large_or_missing_is_none(tmp_path, monkeypatch):
    assert clean(tmp_path / "none.zip", Redactor()) is None
    monkeypatch.setattr(playwright_trace, "MAX_BYTES", 1_000)
    bomb = packed(tmp_path / "bomb.zip", {})
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("trace.trace", bytes(100_000))
    assert bomb.stat().st_size < 1_000
    assert clean(bomb, Redactor()) is None


def test_raw_parts_go_with_their_trace_and_what_is_shared_with_the_last_one(tmp_path):
    folder = TraceFolder(tmp_path)
    one, two = folder.enter(), folder.enter()
    (tmp_path / "resources").mkdir()
    for name in (f"{one}.trace", f"{one}-copy.network", f"{two}.trace", "resources/page.html"):
        (tmp_path / name).touch()
    folder.leave(one)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"{two}.trace", "resources"])
    folder.leave(two)
    assert list(tmp_path.iterdir()) == []
