"""The long options of sbatch.

Source: sbatch(1) of SLURM 20.02 to 25.05. A table and not `sbatch --help`, so that a dry run on a
laptop finds the same mistakes; whether the cluster's own sbatch has an option, it says itself.
"""

from __future__ import annotations

# Switches: they take no value.
SWITCHES = frozenset(
    {
        "contiguous",
        "hold",
        "ignore-pbs",
        "no-requeue",
        "overcommit",
        "oversubscribe",
        "reboot",
        "requeue",
        "spread-job",
        "spread-segments",
        "stepmgr",
        "use-min-nodes",
    }
)
# They may take a value.
OPTIONAL_VALUE = frozenset(
    {
        "exclusive",
        "get-user-env",
        "nice",
        "no-kill",
        "propagate",
        "resv-ports",
        "consolidate-segments",
    }
)
VALUED = frozenset(
    {
        "account",
        "acctg-freq",
        "batch",
        "bb",
        "bbf",
        "begin",
        "cluster-constraint",
        "comment",
        "constraint",
        "container",
        "container-id",
        "core-spec",
        "cores-per-socket",
        "cpu-freq",
        "cpus-per-gpu",
        "cpus-per-task",
        "deadline",
        "delay-boot",
        "dependency",
        "distribution",
        "exclude",
        "export",
        "export-file",
        "extra",
        "extra-node-info",
        "gid",
        "gpu-bind",
        "gpu-freq",
        "gpus",
        "gpus-per-node",
        "gpus-per-socket",
        "gpus-per-task",
        "gres",
        "gres-flags",
        "hint",
        "input",
        "kill-on-invalid-dep",
        "licenses",
        "mail-type",
        "mail-user",
        "mcs-label",
        "mem",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
        "network",
        "nodefile",
        "nodelist",
        "nodes",
        "ntasks",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-node",
        "ntasks-per-socket",
        "oom-kill-step",
        "partition",
        "power",
        "prefer",
        "priority",
        "profile",
        "qos",
        "reservation",
        "segment",
        "sockets-per-node",
        "switches",
        "thread-spec",
        "threads-per-core",
        "time",
        "time-min",
        "tmp",
        "tres-bind",
        "tres-per-task",
        "uid",
        "wait-all-nodes",
        "wckey",
    }
)
OPTIONS = SWITCHES | OPTIONAL_VALUE | VALUED

# Options that are not the user's to set, and why.
OWNED: dict[str, str] = {
    "array": "savethat numbers the runs of a launch",
    "chdir": "jobs start in the project root",
    "clusters": "jobs are asked about where they are submitted: log in to that cluster",
    "error": "savethat keeps what jobs print with the run",
    "help": "it submits nothing",
    "job-name": "savethat finds a run's job by its name",
    "open-mode": "a requeued job appends to its output",
    "output": "savethat keeps what jobs print with the run",
    "parsable": "savethat reads what sbatch prints",
    "quiet": "savethat reads what sbatch prints",
    "signal": "savethat asks for a warning ahead of the time limit",
    "test-only": "it submits nothing; use --dry-run",
    "usage": "it submits nothing",
    "verbose": "savethat reads what sbatch prints",
    "version": "it submits nothing",
    "wait": "use savethat's --wait",
    "wrap": "jobs run savethat's worker",
}

# Whether SLURM starts a job again by itself.
REQUEUE = frozenset({"requeue", "no-requeue"})

# sbatch takes one of these; naming one on the command line overrides another one in the
# configuration.
ALTERNATIVES: tuple[frozenset[str], ...] = (
    frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}),
    frozenset({"gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres"}),
    REQUEUE,
    frozenset({"exclusive", "oversubscribe"}),
    frozenset({"nodelist", "nodefile"}),
)
TIMES = frozenset({"time", "time-min"})
