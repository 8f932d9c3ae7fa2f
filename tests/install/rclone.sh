#!/usr/bin/env bash
# Makes sure that rclone is there: some tests read with it what savethat stores.
set -euo pipefail

"$(dirname "$0")/debian.sh" rclone || {
  echo "*** NO RCLONE ON THIS MACHINE: the tests that need it will be skipped (https://rclone.org/install) ***" >&2
  [ -z "${SAVETHAT_FORBID_SKIPS:-}" ]
}
