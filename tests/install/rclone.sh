#!/usr/bin/env bash
# Makes sure that rclone is there: some tests read with it what savethat stores.
set -euo pipefail

! command -v rclone >/dev/null || exit 0
if command -v apt-get >/dev/null; then
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  echo "installing rclone ..." >&2
  { "${sudo[@]}" apt-get update -qq &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rclone; } </dev/null >&2 || true
fi
command -v rclone >/dev/null || {
  echo "*** NO RCLONE ON THIS MACHINE: the tests that need it will be skipped (https://rclone.org/install) ***" >&2
  [ -z "${SAVETHAT_FORBID_SKIPS:-}" ]
}
