#!/usr/bin/env bash
# Makes sure that a command is there, from the Debian package of the same name where apt-get can.
#
#   tests/install/debian.sh rclone
set -euo pipefail
package=$1

! command -v "$package" >/dev/null || exit 0
if command -v apt-get >/dev/null; then
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  echo "installing $package ..." >&2
  { "${sudo[@]}" apt-get update -qq &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } </dev/null >&2 || true
fi
command -v "$package" >/dev/null
