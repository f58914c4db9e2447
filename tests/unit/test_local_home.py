"""TRAWL_HOME, ports and tools: one sentence for whatever is wrong."""

import socket
import stat
from pathlib import Path

import pytest
from rich.console import Console
from trawl_local import ports, stack, tools
from trawl_local.errors import Refusal
from trawl_local.home import Home
from trawl_local.mongo_standin import needs_sql


def test_the_home_is_dot_trawl_here_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.of({}).path == tmp_path / ".trawl"
    assert Home.of({"TRAWL_HOME": ""}).path == tmp_path / ".trawl"
    assert Home.of({"TRAWL_HOME": "/srv/trawl"}).path == Path("/srv/trawl")


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="set TRAWL_HOME to a folder"):
        Home(tmp_path / "file").prepare()


def test_an_empty_key_file_is_replaced_and_loose_permissions_are_tightened(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.key_file.write_text("")
    key, new = home.first_key({})
    assert new
    home.key_file.chmod(0o644)
    assert home.first_key({}) == (key, False)
    assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600
    assert home.first_key({"TRAWL_API_KEY": " other "}) == ("other", False)
    assert home.read_key() == key


def test_a_home_can_be_held_once_and_again_after_it_was_let_go(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    assert not home.is_running()
    with home.locked():
        assert home.is_running()
        with pytest.raises(Refusal, match="already running"), home.locked():
            pass
    with home.locked():
        pass
    assert not home.is_running()


@pytest.mark.parametrize("text", ["none", "-1", "65536", "1.5", "８０"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    if text == "８０":
        assert ports.public_ports({"PORT_XGET": text})["PORT_XGET"] == 80
        return
    with pytest.raises(Refusal, match="PORT_XGET is"):
        ports.public_ports({"PORT_XGET": text})


def test_ports_have_their_defaults_and_can_be_moved_or_switched_off() -> None:
    assert list(ports.public_ports({}).values()) == [8080, 8082, 8083, 8003, 8000]
    moved = ports.public_ports({"PORT_SCHEDULER": "9000", "PORT_XGET": "0", "PORT_PIPELINE": "0"})
    assert list(moved.values()) == [9000, 8082, 8083, 0, 0]
    with pytest.raises(Refusal, match="PORT_SMARTRPA and PORT_SCHEDULER are both 8082"):
        ports.public_ports({"PORT_SCHEDULER": "8082"})


def test_a_port_taken_on_all_addresses_is_taken_here() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(Refusal, match="is taken"):
        ports.check_free({"PORT_SCHEDULER": server.getsockname()[1]})


def test_private_ports_differ_and_keep_clear_of_the_public_ones() -> None:
    avoided = range(20_000, 31_900)
    chosen = ports.private_ports(6, avoid=avoided)
    assert len(set(chosen)) == 6
    assert all(31_900 <= port < 32_000 for port in chosen)


NAMES = ("nats", "scheduler", "scraper")


def test_the_ports_of_a_home_are_kept_while_they_are_free(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    first = ports.stack_ports(NAMES, kept=home.read_ports())
    home.write_ports(first)
    assert home.read_ports() == first
    assert stat.S_IMODE(home.ports_file.stat().st_mode) == 0o600
    assert ports.stack_ports(NAMES, kept=home.read_ports()) == first
    with socket.create_server((ports.HOST, first["scheduler"])):
        moved = ports.stack_ports(NAMES, kept=first)
    assert (moved["nats"], moved["scraper"]) == (first["nats"], first["scraper"])
    assert moved["scheduler"] not in first.values()
    assert ports.stack_ports(NAMES, kept=first, avoid=[first["nats"]])["nats"] != first["nats"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"nats": "x", "scheduler": 0, "scraper": true}'])
def test_kept_ports_that_make_no_sense_are_chosen_anew(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.ports_file.write_text(text)
    assert home.read_ports() == {}
    assert len(set(ports.stack_ports(NAMES, kept=home.read_ports()).values())) == 3


def test_two_programs_never_keep_the_same_port() -> None:
    (port,) = ports.private_ports(1)
    chosen = ports.stack_ports(NAMES, kept=dict.fromkeys(NAMES, port))
    assert len(set(chosen.values())) == 3


def test_private_ports_can_be_named() -> None:
    (first,) = ports.private_ports(1, avoid=range(31_990, 32_000))
    chosen = ports.stack_ports(NAMES, kept={"nats": 1}, first=str(first))
    assert list(chosen.values()) == [first, first + 1, first + 2]
    with pytest.raises(Refusal, match=r"\(scheduler\) can't be used"):
        ports.stack_ports(NAMES, kept={}, first=str(first), avoid=[first + 1])
    for text in ("none", "0", "-5", "65534"):
        with pytest.raises(Refusal, match="PRIVATE_PORTS is"):
            ports.stack_ports(NAMES, kept={}, first=text)


def programs(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


@pytest.fixture
def _nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "EXTRA_PATH", "/nonexistent")


@pytest.mark.usefixtures("_nowhere_else")
class TestTools:
    """Finding and installing the programs."""

    def test_all_are_found_on_path(self, tmp_path: Path) -> None:
        environment = programs(tmp_path, "nats-server", "redis-server", "google-chrome", "tesseract")
        found = tools.ensure(environment, Console(quiet=True))
        assert found["chromium"] == str(tmp_path / "google-chrome")

    def test_without_root_the_refusal_is_the_line_to_type(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        environment = programs(tmp_path, "chromium", "tesseract", "apt-get")
        with pytest.raises(Refusal) as refused:
            tools.ensure(environment, Console(quiet=True))
        line = "sudo apt-get install -y --no-install-recommends nats-server redis-server"
        assert str(refused.value) == f"nats-server and redis-server are missing: sudo apt-get update && {line}"

    def test_without_apt_the_refusal_names_the_programs(self, tmp_path: Path) -> None:
        missing = "nats-server, redis-server, chromium and tesseract-ocr are missing and there is no apt-get"
        with pytest.raises(Refusal, match=missing):
            tools.ensure({"PATH": str(tmp_path)}, Console(quiet=True))

    def test_as_root_what_is_missing_is_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        environment = programs(tmp_path, "nats-server", "redis-server", "tesseract", "apt-get")
        # The index can't be refreshed, the installation works.
        apt = """#!/bin/sh
            echo "$@" >> said
            case "$*" in
                *install*) : > chromium; /bin/chmod +x chromium ;;
                *) exit 100 ;;
            esac
        """
        (tmp_path / "apt-get").write_text(apt)
        monkeypatch.chdir(tmp_path)
        found = tools.ensure(environment, Console(quiet=True))
        assert found["chromium"] == str(tmp_path / "chromium")
        update, install = (tmp_path / "said").read_text().splitlines()
        assert update.startswith("update")
        assert install.endswith("install -y --no-install-recommends chromium")

    def test_an_installation_that_fails_says_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        environment = programs(tmp_path, "nats-server", "redis-server", "tesseract", "apt-get")
        (tmp_path / "apt-get").write_text("#!/bin/sh\necho reading\necho 'E: no such package' >&2\nexit 100\n")
        with pytest.raises(Refusal, match=r"Could not install chromium \(E: no such package\)"):
            tools.ensure(environment, Console(quiet=True))

    def test_a_named_chromium_must_be_a_program(self, tmp_path: Path) -> None:
        environment = programs(tmp_path, "nats-server", "redis-server", "chromium", "tesseract")
        with pytest.raises(Refusal, match="CHROMIUM_PATH names"):
            tools.ensure({**environment, "CHROMIUM_PATH": str(tmp_path)}, Console(quiet=True))


TOOLS = {"nats-server": "/n", "redis-server": "/r", "chromium": "/c"}


def test_services_get_their_addresses_and_the_stores_start_first(tmp_path: Path) -> None:
    public = ports.public_ports({})
    plan = stack.plan(Home(tmp_path), {"SOME": "thing", "GRPC_PORT": "1"}, TOOLS, "the-key", public)
    by_name = {program.name: program for program in plan.programs}
    assert set(by_name) == {*stack.STORES, *stack.SERVICES}
    for name in stack.SERVICES:
        assert set(by_name[name].needs) == set(stack.STORES)
        assert by_name[name].environment["SOME"] == "thing"
        assert ("TRAWL_API_KEY" in by_name[name].environment) == (name == "gateway")
    assert by_name["scheduler"].environment["GRPC_PORT"] == str(plan.private["scheduler"])
    assert "GRPC_PORT" not in by_name["gateway"].environment
    assert by_name["scraper"].environment["CHROMIUM_PATH"] == "/c"
    order = sorted(by_name, key=lambda name: by_name[name].stop_order)
    assert order[:4] == ["gateway", "scraper", "scheduler", "worker-registry"]


def test_a_real_mongodb_replaces_the_stand_in(tmp_path: Path) -> None:
    uri = "mongodb://db.example/?replicaSet=rs0"
    plan = stack.plan(Home(tmp_path), {"MONGODB_URI": uri}, TOOLS, "the-key", ports.public_ports({}))
    assert "mongodb" not in {program.name for program in plan.programs}
    assert all(p.environment["MONGODB_URI"] == uri for p in plan.programs if p.name in stack.SERVICES)


def test_updates_go_to_the_tier_that_does_them_right() -> None:
    assert not needs_sql({"$set": {"done": True, "a.b": False}})
    assert not needs_sql({"$inc": {"n": 1}, "$set": {"done": True}})
    assert needs_sql({"$inc": {"counts.ok": 1}})
    assert needs_sql({"$unset": {"a.b": ""}})
