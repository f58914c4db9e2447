"""What runs on one machine, with which environment and configuration. Must not start anything."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trawl_local import ports, readiness
from trawl_local.home import Home
from trawl_local.ports import HOST
from trawl_local.supervise import Program
from trawl_local.tools import CHROMIUM, NATS, REDIS, TESSERACT

# Runs and webhooks may call this machine itself, though its addresses are private.
LOOPBACK = "127.0.0.0/8,::1/128"
SERVICES = ("worker-registry", "scheduler", "scraper", "gateway")
STORES = ("nats", "redis", "mongodb")
_FOR_STORES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONUNBUFFERED")
_NOT_FOR_SERVICES = ("TRAWL_API_KEY", "GRPC_PORT", "NATS_URL", "REDIS_URL")


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that is to run, and where it can be reached."""

    programs: tuple[Program, ...]
    # By the gateway's variable, 0 = off.
    public: Mapping[str, int]
    private: Mapping[str, int]

    @property
    def urls(self) -> dict[str, str]:
        """What people open, by what it is."""
        return {
            public.name: f"http://{HOST}:{self.public[public.variable]}{public.path}"
            for public in ports.PUBLIC
            if self.public[public.variable]
        }


def nats_config(port: int, monitor_port: int) -> str:
    """nats-server's configuration; paths are relative to its folder. Its monitoring can only be read."""
    return (
        f"listen: {HOST}:{port}\n"
        f"http: {HOST}:{monitor_port}\n"
        "max_payload: 8MB\n"
        "write_deadline: 10s\n"
        # Streams reserve their limits: by default that fails where little of the disk is free.
        "jetstream { store_dir: jetstream, max_file_store: 64GB }\n"
    )


def redis_config(port: int) -> str:
    """redis-server's configuration; paths are relative to its folder."""
    return (
        f"bind {HOST}\nprotected-mode yes\nport {port}\n"
        "daemonize no\nalways-show-logo no\n"
        'save ""\nappendonly yes\nappendfsync everysec\ndir ./\n'
        "maxmemory-policy noeviction\n"
    )


def write_configs(home: Home, private: Mapping[str, int]) -> None:
    """Write both stores' configurations."""
    (home.folder("nats") / "nats.conf").write_text(
        nats_config(private["nats"], private["nats-monitor"]), encoding="utf-8"
    )
    (home.folder("redis") / "redis.conf").write_text(redis_config(private["redis"]), encoding="utf-8")


def plan(
    home: Home, environment: Mapping[str, str], tools: Mapping[str, str], key: str, public: Mapping[str, int]
) -> Stack:
    """The stack for this folder. `tools` are the programs' paths by package name."""
    names = ("nats", "redis", "mongodb", "scheduler", "scraper", "worker-registry", "nats-monitor")
    first = environment.get("PRIVATE_PORTS", "").strip()
    private = ports.stack_ports(names, kept=home.read_ports(), first=first, avoid=set(public.values()))
    mongodb = environment.get("MONGODB_URI", "").strip()
    if mongodb:
        del private["mongodb"]
    stores = _stores(home, environment, tools, private)
    common = _common(home, environment, private, mongodb)
    needs = tuple(store.name for store in stores)
    services = (
        _service("worker-registry", common | _allowing_loopback(common), private, home, needs, stop_order=3),
        _service("scheduler", common, private, home, needs, stop_order=2),
        _service("scraper", common | _scraper(home, environment, tools), private, home, needs, stop_order=1),
        _gateway(common, public, key, home, needs),
    )
    return Stack((*stores, *services), public, private)


def _stores(
    home: Home, environment: Mapping[str, str], tools: Mapping[str, str], private: Mapping[str, int]
) -> list[Program]:
    # They need no key of ours, and whoever runs commands here could read it out of theirs.
    plain = {name: value for name, value in environment.items() if name in _FOR_STORES}
    stores = [
        Program(
            "nats",
            (tools[NATS.package], "-c", "nats.conf"),
            plain,
            home.folder("nats"),
            readiness.nats(private["nats"]),
            stop_order=4,
            well=readiness.jetstream(private["nats-monitor"], home.folder("nats")),
        ),
        Program(
            "redis",
            (tools[REDIS.package], "redis.conf"),
            plain,
            home.folder("redis"),
            readiness.redis(private["redis"]),
            stop_order=4,
        ),
    ]
    if "mongodb" in private:
        command = ("trawl_local.mongo_standin", "--data-dir", ".", "--port", str(private["mongodb"]))
        ready = readiness.tcp(private["mongodb"])
        stores.append(Program("mongodb", _python(*command), plain, home.folder("mongodb"), ready, stop_order=4))
    return stores


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    # -P: a file in the working folder must not shadow a package.
    return (sys.executable, "-P", "-m", module, *arguments)


def _common(home: Home, environment: Mapping[str, str], private: Mapping[str, int], mongodb: str) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name not in _NOT_FOR_SERVICES}
    return kept | {
        "PYTHONUNBUFFERED": "1",
        "TRAWL_HOME": str(home.path),
        "NATS_URL": f"nats://{HOST}:{private['nats']}",
        "REDIS_URL": f"redis://{HOST}:{private['redis']}/0",
        "MONGODB_URI": mongodb or f"mongodb://{HOST}:{private['mongodb']}/?directConnection=true",
        "LOG_DIR": str(home.folder("logs")),
        "BLOB_DIR": str(home.folder("blobs")),
        "GRPC_HOST": HOST,
        "SCHEDULER_TARGET": f"{HOST}:{private['scheduler']}",
        "SCRAPER_TARGET": f"{HOST}:{private['scraper']}",
        "REGISTRY_TARGET": f"{HOST}:{private['worker-registry']}",
    }


def _scraper(home: Home, environment: Mapping[str, str], tools: Mapping[str, str]) -> dict[str, str]:
    """What suits one machine, unless the environment says otherwise."""
    suits = {
        "WORKER_ID": "worker-001",
        "EXECUTORS": "http,scrape,rpa,noop,shell,python,pipeline,x",
        "SECRETS_KEY_FILE": str(home.key_of_secrets),
        "COMMAND_HIDDEN_PATHS": ":".join(map(str, home.hidden_from_commands)),
        "CHROMIUM_PATH": tools.get(CHROMIUM.package, ""),
        "TESSERACT_PATH": tools.get(TESSERACT.package, ""),
        "ADSPOWER_HOSTS": "127.0.0.1,localhost",
    }
    chosen = {name: environment.get(name) or value for name, value in suits.items()}
    folders = {
        "SCRIPTS_DIR": str(home.folder("scripts")),
        "WORK_DIR": str(home.folder("work")),
        "SEARCH_DIR": str(home.folder("search")),
    }
    return {name: value for name, value in (chosen | folders).items() if value} | _allowing_loopback(environment)


def _service(
    name: str,
    environment: dict[str, str],
    private: Mapping[str, int],
    home: Home,
    needs: tuple[str, ...],
    *,
    stop_order: int,
) -> Program:
    return Program(
        name,
        _python(name.replace("-", "_")),
        environment | {"GRPC_PORT": str(private[name])},
        _working_folder(home),
        readiness.tcp(private[name]),
        needs,
        stop_order,
    )


def _gateway(
    common: dict[str, str], public: Mapping[str, int], key: str, home: Home, needs: tuple[str, ...]
) -> Program:
    environment = common | {variable: str(port) for variable, port in public.items()}
    environment |= {"TRAWL_API_KEY": key, "GATEWAY_HOST": HOST, **_allowing_loopback(common)}
    if not environment.get("JWT_SECRET"):
        environment.setdefault("JWT_SECRET_FILE", str(home.secret_of_tokens))
    ready = readiness.every(*(readiness.http(port) for port in public.values() if port))
    return Program("gateway", _python("gateway"), environment, _working_folder(home), ready, needs, 0)


def _allowing_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """What may be called though it is private, for services that call for somebody."""
    # Set and empty means none.
    return {"ALLOWED_ADDRESSES": environment.get("ALLOWED_ADDRESSES", LOOPBACK)}


def _working_folder(home: Home) -> Path:
    """Where services run: what they write to a relative path (traces) lands in the home."""
    return home.path
