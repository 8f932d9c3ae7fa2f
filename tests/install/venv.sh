#!/usr/bin/env bash
# Makes or updates a virtual environment with this checkout and its development tools in it.
#
#   tests/install/venv.sh .venv /usr/bin/python3.11
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1 python=$2

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

# Debian keeps half of Python's venv module in a package of its own.
ensure_venv() {
  ! has_venv || return 0
  local package
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "installing $package ..." >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } </dev/null >&2
  fi
  has_venv || {
    echo "$python cannot make virtual environments: install $package, then try again" >&2
    exit 1
  }
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  ensure_venv
  "$python" -m venv --clear "$folder"
fi
"$folder/bin/python" -m pip install --quiet --editable '.[dev]'
