#!/usr/bin/env bash
# Brings up a real SLURM on one Debian or Ubuntu machine: munge, MariaDB, slurmdbd, slurmctld and several slurmd.
# Needs root or sudo, not systemd; installs the packages where they are missing. Everything lives in one folder, on its
# own ports and with its own munge, so it meets no other SLURM. Run again, it starts only what is missing.
#
#   eval "$(tests/slurm/up.sh)"     the only line on stdout is `export SLURM_CONF=...`
#
# Exits 75 where SLURM cannot be had at all, 1 where it should have come up and did not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/slurm/lab.sh
. "$here/lab.sh"

HOST=$(hostname -s)
CALLER=${SUDO_USER:-$(id -un)}
PACKAGES=(slurm-wlm slurm-client slurmdbd munge mariadb-server)
PROGRAMS=(slurmctld slurmd slurmdbd sbatch sacct sacctmgr munged mungekey mariadbd mariadb mariadb-install-db)

missing_programs() {
  local program
  for program in "${PROGRAMS[@]}"; do
    command -v "$program" >/dev/null || printf '%s ' "$program"
  done
}

install_packages() {
  [ -n "$(missing_programs)" ] || return 0
  command -v apt-get >/dev/null || cannot "no apt-get, and missing: $(missing_programs)"
  say "installing ${PACKAGES[*]} ..."
  without_services apt_install || cannot "apt-get could not install ${PACKAGES[*]}"
  [ -z "$(missing_programs)" ] || cannot "installed, and still missing: $(missing_programs)"
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}"; } </dev/null >&2
}

# Debian starts a service as soon as its package is there, unless this file forbids it. The lab starts its own.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

make_folder() {
  if [ -d "$LAB" ] && [ ! -e "$MARKER" ] && [ -n "$(ls -A "$LAB")" ]; then
    say "$LAB is not empty and not a lab: set SAVETHAT_SLURM_LAB to another folder"
    exit 1
  fi
  mkdir -p "$LAB"/{state,spool,log,run}
  chmod 755 "$LAB" "$LAB"/{log,run}
  touch "$MARKER" "$LAB"/run/gpu{0,1}
}

start_munged() {
  ! alive munged "$LAB/run/munged.pid" || return 0
  [ -e "$LAB/munge.key" ] || mungekey --create --keyfile="$LAB/munge.key"
  munged --key-file="$LAB/munge.key" --socket="$LAB/run/munge.socket" --pid-file="$LAB/run/munged.pid" \
    --seed-file="$LAB/state/munged.seed" --log-file="$LAB/log/munged.log"
  until_ok 15 munge --no-input --socket="$LAB/run/munge.socket"
}

sql() { mariadb --no-defaults --socket="$LAB/run/db.socket" --execute="$1"; }

start_database() {
  ! alive mariadbd "$LAB/run/db.pid" || return 0
  [ -d "$LAB/db/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$LAB/db" \
    --auth-root-authentication-method=normal --skip-test-db >"$LAB/log/db-install.log" 2>&1
  setsid mariadbd --no-defaults --user=root --datadir="$LAB/db" --socket="$LAB/run/db.socket" \
    --bind-address=127.0.0.1 --port=13306 --pid-file="$LAB/run/db.pid" \
    --innodb-buffer-pool-size=256M --innodb-lock-wait-timeout=900 >"$LAB/log/db.log" 2>&1 </dev/null &
  until_ok 30 sql 'select 1'
  local at
  for at in 127.0.0.1 localhost; do
    sql "create database if not exists slurm_acct;
      create user if not exists slurm@'$at' identified by 'slurm';
      grant all on slurm_acct.* to slurm@'$at';"
  done
}

write_configuration() {
  install -m 600 /dev/null "$LAB/slurmdbd.conf" # slurmdbd refuses a password that others can read
  cat >"$LAB/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge.socket
DbdHost=localhost
DbdPort=16819
SlurmUser=root
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
CONF
  echo "NodeName=n[1-$NODES] Name=gpu File=$LAB/run/gpu[0-1]" >"$LAB/gres.conf"
  cat >"$LAB/slurm.conf" <<CONF
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge.socket
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd.%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
# Jobs start at once, not at the next half minute.
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
# Small, so that tests meet the limits of real sites within seconds.
MaxArraySize=$MAX_ARRAY_SIZE
MaxJobCount=100000
MinJobAge=20
KillWait=5
SlurmdTimeout=10
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=16819
AccountingStoragePass=$LAB/run/munge.socket
AccountingStorageEnforce=associations,limits,qos
GresTypes=gpu
$(for i in $(seq "$NODES"); do
    echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((17000 + i)) CPUs=2 RealMemory=2000 Gres=gpu:2"
  done)
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=few Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off QOS=few
CONF
}

# SLURM accepts jobs only of users that it knows: root, and who called; further ones when they call.
start_accounting() {
  export SLURM_CONF=$LAB/slurm.conf
  alive slurmdbd "$LAB/run/slurmdbd.pid" || slurmdbd
  until_ok 30 sacctmgr --noheader show cluster
  ensure cluster lab # and with it root
  ensure qos few MaxSubmitJobsPerUser=4
  ensure account lab
  ensure user "$CALLER" account=lab
}

# ensure KIND NAME [OPTION...]: adds it to the accounting unless it is there.
ensure() { listed "$1" "$2" || sacctmgr --immediate add "$@" >>"$LAB/log/sacctmgr.log" 2>&1; }

start_slurm() {
  local i
  alive slurmctld "$LAB/run/slurmctld.pid" || slurmctld -i
  for i in $(seq "$NODES"); do
    alive slurmd "$LAB/run/slurmd.n$i.pid" || slurmd -N "n$i"
  done
  until_ok 30 answers
}

take_down_if_failed() {
  local status=$?
  [ "$status" -ne 0 ] && [ "$status" -ne "$CANNOT" ] && [ -e "$MARKER" ] || return 0
  say "did not come up; the last lines of its logs:"
  tail -n 5 "$LAB"/log/*.log >&2 || true
  "$here/down.sh" || true
}

main() {
  if ! answers || ! listed user "$CALLER"; then
    [ "$(uname -s)" = Linux ] || cannot "it takes Debian or Ubuntu"
    become_root "$@"
    install_packages
    trap take_down_if_failed EXIT
    trap 'exit 130' INT TERM HUP
    make_folder
    start_munged
    start_database
    alive slurmctld "$LAB/run/slurmctld.pid" || write_configuration # it goes on with what it has read
    start_accounting
    start_slurm
    say "up in $LAB"
  fi
  echo "export SLURM_CONF=$LAB/slurm.conf"
}

main "$@"
