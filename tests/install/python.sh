#!/usr/bin/env bash
# Prints an interpreter: the newest that savethat supports, or the one asked for.
#
#   tests/install/python.sh [3.10]
set -euo pipefail
SUPPORTED="3.13 3.12 3.11 3.10"

# Whether it runs and is that version. pyenv leaves commands on PATH that only say that they are not there.
is_version() {
  "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" 2>/dev/null
}

find_version() {
  local candidate
  for candidate in "python$1" python3 "$HOME/.pyenv/versions/$1".*/bin/python; do
    if is_version "$candidate" "$1"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

for version in ${1:-$SUPPORTED}; do
  find_version "$version" && exit
done
echo "no Python ${1:-among $SUPPORTED} found: install one, or name it: make PYTHON=/path/to/python3" >&2
exit 1
