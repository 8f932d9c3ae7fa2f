# shellcheck shell=bash
# What up.sh, down.sh and with.sh share: where the lab is, who may start it, which of its processes live.

LAB=${SAVETHAT_SLURM_LAB:-/tmp/savethat-slurm-lab}
NODES=${SAVETHAT_SLURM_NODES:-3}
MAX_ARRAY_SIZE=${SAVETHAT_SLURM_MAX_ARRAY_SIZE:-101}
CANNOT=75 # sysexits' EX_TEMPFAIL: no SLURM can be had on this machine; nothing else exits so
PATH=$PATH:/usr/sbin:/sbin # a user's PATH often lacks them, and that is where Debian keeps daemons
MARKER=$LAB/.savethat-slurm-lab # down.sh removes a folder only if it holds this

say() { echo "slurm-lab: $*" >&2; }

cannot() {
  say "*** NO SLURM ON THIS MACHINE: $* ***"
  exit "$CANNOT"
}

# Starts the calling script again as root, with the same lab.
become_root() {
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null || cannot "it takes root, or sudo"
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } || cannot "it takes root, and sudo refused"
  exec sudo env SAVETHAT_SLURM_LAB="$LAB" SAVETHAT_SLURM_NODES="$NODES" \
    SAVETHAT_SLURM_MAX_ARRAY_SIZE="$MAX_ARRAY_SIZE" bash "$0" "$@"
}

# gone PID: a zombie is gone too, for in a container nobody may be there to reap it.
gone() { ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"; }

# alive NAME PIDFILE: whether the process of that id still lives and is still that program.
alive() {
  local name=$1 pid
  pid=$(cat "$2" 2>/dev/null) && ! gone "$pid" && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ]
}

# until_ok SECONDS COMMAND...: tries the command until it succeeds.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { say "gave up waiting for: $*"; return 1; }
    sleep 0.1
  done
}

# Nodes that SLURM can use now: a trailing * means that slurmd does not answer.
usable_nodes() {
  sinfo --noheader --Node --partition=cpu --format=%T | grep -cE '^(idle|mixed|allocated|completing)$'
}

# Every node's slurmd lives, the controller can use them all, and the accounting answers.
answers() {
  [ -e "$MARKER" ] && [ -e "$LAB/slurm.conf" ] || return 1
  local -x SLURM_CONF=$LAB/slurm.conf
  local node wanted=0
  while read -r node; do
    alive slurmd "$LAB/run/slurmd.$node.pid" || return 1
    wanted=$((wanted + 1))
  done < <(sed -n 's/^NodeName=\([^ ]*\) .*/\1/p' "$LAB/slurm.conf")
  [ "$(usable_nodes 2>/dev/null)" = "$wanted" ] && sacctmgr --noheader show cluster >/dev/null 2>&1
}

# listed KIND NAME: whether the accounting knows it.
listed() {
  local -x SLURM_CONF=$LAB/slurm.conf
  [ -n "$(sacctmgr --noheader show "$1" "$2")" ]
}
