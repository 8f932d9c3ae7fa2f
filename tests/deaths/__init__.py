"""How savethat does under a matrix of deaths: `make death-matrix`, `make thousand-runs`.

Black box: it runs the command line as a user does, on the tests' own SLURM and on this machine's
queue, over the B2 emulator, and looks with `ls`, `download` and the emulator's own account of what
it holds. `docs/explanation/reliability.md` has the method and the last results.
"""
