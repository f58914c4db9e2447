"""Sends what schemathesis makes up from each port's OpenAPI description to a running system: `make fuzz`.

Fails on any 5xx and on any answer that the description does not have. Streams that never end are left out, and so is
a 5xx where the original document has it: SmartRPA's answer for work that failed.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import stores

SCHEMATHESIS = "schemathesis==4.32.5"
PORTS = ("SCHEDULER", "SMARTRPA", "MANAGEMENT", "XGET", "PIPELINE")
STREAM = "text/event-stream"
# Operations that wait for a run and answer 500 when it fails.
CONFIGURATION = """\
[checks]
enabled = false
not_a_server_error.enabled = true
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_headers_conformance.enabled = true
response_schema_conformance.enabled = true

[[operations]]
include-path-regex = "/(login|scrape_dengdai)$"
checks.not_a_server_error.enabled = false
"""
READY_SECONDS, STOP_SECONDS, LIMIT_SECONDS = 120, 30, 1_800


def main() -> int:
    """The exit code: 0 when every port does as it says."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=40, help="how many requests each operation gets at most")
    parser.add_argument("--ports", default=",".join(PORTS).lower(), help="comma list of the contracts")
    options = parser.parse_args()
    key = secrets.token_urlsafe(24)
    ports = {name: stores.free_port() for name in PORTS}
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"TRAWL_HOME": home, "TRAWL_API_KEY": key}
        environment |= {f"PORT_{name}": str(port) for name, port in ports.items()}
        with (Path(home) / "up.log").open("wb") as log:
            stack = subprocess.Popen([sys.executable, "-m", "trawl_local.cli", "up"], env=environment,
                                     stdout=log, stderr=log)  # fmt: skip
            try:
                wanted = [f"http://127.0.0.1:{ports[name.upper()]}" for name in options.ports.split(",")]
                await_ready(wanted, stack)
                configuration = Path(home) / "schemathesis.toml"
                configuration.write_text(CONFIGURATION)
                failed = [url for url in wanted if fuzz(url, key, options.examples, configuration)]
            finally:
                stack.send_signal(signal.SIGTERM)
                stack.wait(STOP_SECONDS)
    return 1 if failed else 0


def await_ready(urls: list[str], stack: "subprocess.Popen[bytes]") -> None:
    """Return when every port is ready."""
    until = time.monotonic() + READY_SECONDS
    for url in urls:
        while stack.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        else:
            sys.exit(f"{url} did not become ready.")


def fuzz(url: str, key: str, examples: int, configuration: Path) -> int:
    """schemathesis' exit code for one port."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
        paths = json.load(answer)["paths"]
    endless = [
        path
        for path, operations in paths.items()
        if list(operations.get("get", {}).get("responses", {}).get("200", {}).get("content", ())) == [STREAM]
    ]
    command = [
        str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", "--from", SCHEMATHESIS, "st",
        "--config-file", str(configuration), "run",
        f"{url}/openapi.json", "-H", f"Authorization: Bearer {key}",
        "--phases", "examples,coverage,fuzzing", "-n", str(examples), "--continue-on-failure",
        "--request-timeout", "60", *(word for path in endless for word in ("--exclude-path", path)),
    ]  # fmt: skip
    return subprocess.run(command, check=False, timeout=LIMIT_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main())
