"""TRAWL_HOME: the folder with everything that the one-machine stack keeps. Owns: its layout, its lock, the first key.

Must not know what the programs do with their folders.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trawl_local.errors import Refusal

FOLDERS = ("blobs", "logs", "mongodb", "nats", "redis", "run", "scripts", "search", "work")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder, by its absolute path. Everything in it is the owner's alone."""

    path: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        """The folder that TRAWL_HOME names, else `.trawl` here."""
        return cls(Path(environment.get("TRAWL_HOME") or ".trawl").expanduser().absolute())

    @property
    def key_file(self) -> Path:
        """Where the generated admin key stands."""
        return self.path / "api-key"

    @property
    def secret_of_tokens(self) -> Path:
        """The file that access tokens are signed by; the gateway makes it."""
        return self.path / "jwt-secret"

    @property
    def key_of_secrets(self) -> Path:
        """What encrypts stored secrets; the scraper makes it on first use."""
        return self.path / "secrets-key"

    @property
    def hidden_from_commands(self) -> tuple[Path, ...]:
        """What no run's command is to read: the keys, and the stores' own files."""
        stores = (self.folder(name) for name in ("mongodb", "nats", "redis"))
        return (self.key_file, self.secret_of_tokens, self.key_of_secrets, *stores)

    @property
    def state_file(self) -> Path:
        """What runs now; see `write_state`."""
        return self.path / "run" / "stack.json"

    @property
    def ports_file(self) -> Path:
        """The private ports of the last start, which the next one takes again; see `write_ports`."""
        return self.path / "ports.json"

    def folder(self, name: str) -> Path:
        """One of `FOLDERS`."""
        return self.path / name

    def prepare(self) -> None:
        """Make the folders. Raises `Refusal` when they can't be made or written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in FOLDERS:
                self.folder(name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone. Raises `Refusal` when another stack does. The kernel frees it, however this ends."""
        try:
            handle = os.open(self.path / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                running = self.read_state()
                process = f" (process {running['pid']})" if "pid" in running else ""
                raise Refusal(
                    f"trawl is already running on {self.path}{process}: stop it first, "
                    "or set TRAWL_HOME to another folder."
                ) from error
            yield
        finally:
            os.close(handle)

    def is_running(self) -> bool:
        """Whether a stack holds the folder."""
        try:
            handle = os.open(self.path / "run" / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(handle)

    def read_key(self) -> str | None:
        """The generated key, if there is one."""
        try:
            return self.key_file.read_text(encoding="ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def first_key(self, environment: Mapping[str, str]) -> tuple[str, bool]:
        """The first admin key, and whether it was made just now: TRAWL_API_KEY, else the kept one, else a new one."""
        if given := environment.get("TRAWL_API_KEY", "").strip():
            return given, False
        try:
            if kept := self.read_key():
                self.key_file.chmod(0o600)
                return kept, False
            key = f"trawl_{secrets.token_urlsafe(32)}"
            self._write_privately(self.key_file, key + "\n")
        except OSError as error:
            raise self._unusable(error) from error
        return key, True

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Say what runs: `pid`, `urls`, `ports`, …; readable by the owner alone, and never half written."""
        self._write_privately(self.state_file, json.dumps(state, indent=2) + "\n")

    def write_ports(self, private: Mapping[str, int]) -> None:
        """Keep the ports by program: whoever speaks to the services finds them there after any restart."""
        text = json.dumps(dict(private), indent=2) + "\n"
        try:
            if not self.ports_file.exists() or self.ports_file.read_text(encoding="utf-8") != text:
                self._write_privately(self.ports_file, text)
        except OSError as error:
            raise self._unusable(error) from error

    def read_ports(self) -> dict[str, int]:
        """What `write_ports` has kept; empty when there is nothing of use."""
        try:
            kept = json.loads(self.ports_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {name: port for name, port in kept.items() if type(port) is int and 0 < port < 65_536}

    def read_state(self) -> dict[str, Any]:
        """What `write_state` said last; empty when nothing runs."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def holder_is_alive(self) -> bool:
        """Whether the process that wrote the state is there: not when a stack was killed and is being cleared away."""
        return Path(f"/proc/{self.read_state().get('pid', 'none')}").exists()

    def forget_state(self) -> None:
        """Nothing runs any more."""
        self.state_file.unlink(missing_ok=True)

    def _write_privately(self, target: Path, text: str) -> None:
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)

    def _unusable(self, error: OSError) -> Refusal:
        return Refusal(
            f"{self.path} can't be used ({error.strerror}): set TRAWL_HOME to a folder that you may write to."
        )
