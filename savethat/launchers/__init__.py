"""Who carries runs out, and who is asked about them: this process (`foreground`) and SLURM."""
