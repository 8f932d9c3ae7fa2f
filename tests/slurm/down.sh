#!/usr/bin/env bash
# Ends every process that up.sh started and every job on them, and removes the folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/slurm/lab.sh
. "$here/lab.sh"

# A moment to end by themselves; end_steps sees to those that ignore it, or that no controller can reach any more.
cancel_jobs() {
  alive slurmctld "$LAB/run/slurmctld.pid" || return 0
  squeue --noheader --format=%A | sort -u | xargs -r scancel || return 0
  until_ok 3 no_jobs 2>/dev/null || true
}

no_jobs() { [ -z "$(squeue --noheader --states=pending,running,suspended,completing)" ]; }

# end NAME PIDFILE: at once, for everything a daemon would tidy up on a gentler signal goes with the folder.
end() {
  alive "$@" || return 0
  local pid
  pid=$(cat "$2")
  kill -KILL "$pid"
  until_ok 10 gone "$pid"
}

# Steps outlive their slurmd, and what a step started may outlive the step: both carry this lab in their environment.
# A shell that merely talks to the lab does so too, hence the second condition.
end_steps() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid=$(basename "$(dirname "$environ")")
    if has_variable "$environ" "SLURM_CONF=$LAB/slurm.conf" &&
      { [ "$(cat "/proc/$pid/comm")" = slurmstepd ] || has_variable "$environ" 'SLURM_JOB_ID=.*'; }; then
      kill -KILL "$pid" || true
    fi
  done 2>/dev/null
}

has_variable() { tr '\0' '\n' 2>/dev/null <"$1" | grep -qx "$2"; }

main() {
  [ -e "$MARKER" ] || { say "there is none in $LAB"; exit 0; }
  become_root "$@"
  export SLURM_CONF=$LAB/slurm.conf
  local pidfile
  cancel_jobs
  for pidfile in "$LAB"/run/slurmd.*.pid; do
    end slurmd "$pidfile"
  done
  end_steps
  end slurmctld "$LAB/run/slurmctld.pid"
  end slurmdbd "$LAB/run/slurmdbd.pid"
  end mariadbd "$LAB/run/db.pid"
  end munged "$LAB/run/munged.pid"
  rm -rf "$LAB"
  say "down"
}

main "$@"
