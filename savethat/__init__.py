"""Saves ML experiments: typed nodes, run here or as SLURM jobs, kept on Backblaze B2."""

__version__ = "0.1.0"
