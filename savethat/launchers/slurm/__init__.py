"""SLURM: what a job asks for, its submission, and what becomes of it.

    options   resources as data, merged from configuration and command line
    submit    the batch script, and sbatch (imports submitit: import it where it is needed)
    queue     one squeue for all of a user's runs, sacct for those it no longer knows
    states    SLURM's words for a job, in ours
    output    what jobs print, and their last words
    commands  SLURM's programs, and the name of this machine's cluster
    shared    answers shared between the user's processes
"""
