#!/usr/bin/env bash
# Makes the virtual environment from the lock. Needs python3 >= 3.11 only; says in one sentence what is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { printf '%s\n' "$*" >&2; exit 1; }
command -v "$PYTHON" >/dev/null || say "trawl needs python3 >= 3.11: install it, or say 'make PYTHON=/path/to/python3'."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || say "trawl needs python3 >= 3.11; $("$PYTHON" --version) is too old."
if [ ! -x "$VENV/bin/python" ]; then
  if ! "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; then
    version=$("$PYTHON" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      { apt-get update -qq && apt-get install -y -qq --no-install-recommends "python$version-venv"; } >/dev/null 2>&1 \
        || say "Could not install python$version-venv; install it and try again."
    else
      say "Python's venv module is missing: sudo apt-get install python$version-venv"
    fi
  fi
  "$PYTHON" -m venv "$VENV"
fi
echo "installing Trawl's packages into $VENV" >&2
"$VENV/bin/pip" install --quiet --disable-pip-version-check 'uv==0.13.9' || say "Could not install uv: is the package index reachable?"
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --require-hashes -r requirements.lock \
  || say "Could not install the locked packages: is the package index reachable?"
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation -e . \
  || say "Could not install Trawl itself."
touch "$VENV/.installed"
