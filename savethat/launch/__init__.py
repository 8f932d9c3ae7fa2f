"""From a node and its arguments to runs: recorded first, then carried out here or submitted.

- `plan`: what is asked for, as the record of a launch
- `here`: the foreground, and this process
- `destinations`: SLURM, and this machine's queue
- `submit`: one launch, and going on with one that was cut short
- `again`, `continuing`: the next attempt of runs that failed, anew or from their files
- `sweep`: many runs of a node, of which only what is missing is launched
- `face`: what Python code calls
"""
