#!/usr/bin/env bash
# Generates protos/gen from protos/trawl. With --check: fails when the committed stubs differ.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON_BIN:-.venv/bin/python}"
out=protos/gen
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
mapfile -t files < <(cd protos && find trawl -name '*.proto' | sort)
PATH="$(cd "$(dirname "$python")" && pwd):$PATH" "$python" -m grpc_tools.protoc -I protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" "${files[@]}"
# The package's own words, by hand.
cp protos/trawl/__init__.py "$out/trawl/__init__.py"
if [ "${1:-}" = --check ]; then
  diff -r -x __pycache__ -x py.typed protos/gen "$out" || { echo "protos/gen is stale: run 'make proto'" >&2; exit 1; }
fi
