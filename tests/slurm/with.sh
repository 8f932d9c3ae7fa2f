#!/usr/bin/env bash
# Runs a command while SLURM is up: brings it up first, and takes it down afterwards, unless it was up before.
# Where SLURM cannot be had the command runs without, unless SAVETHAT_FORBID_SKIPS is set.
#
#   tests/slurm/with.sh pytest
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/slurm/lab.sh
. "$here/lab.sh"

bring_up() {
  local status=0
  "$here/up.sh" >/dev/null || status=$?
  if [ "$status" -eq "$CANNOT" ] && [ -z "${SAVETHAT_FORBID_SKIPS:-}" ]; then
    say "*** THE TESTS THAT NEED SLURM WILL BE SKIPPED ***"
  elif [ "$status" -ne 0 ]; then
    exit 1
  fi
}

if answers; then
  say "already up in $LAB: it will stay up"
else
  trap '"$here/down.sh"' EXIT # also ends what an interrupted up.sh began
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
fi
bring_up # also makes this user known to one that another user brought up
"$@"
