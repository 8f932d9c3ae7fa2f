"""Shell completion: instant, so from what is remembered and from source text.

It asks no network, imports none of the user's code, and says nothing where it cannot answer.

- `callbacks`: what a command's parameters complete, and the commands that take a NODE
- `shells`: a shell's question answered, and the script that makes it ask
- `project`: a project's nodes, as far as they can be known at once
- `keys`: the same of the keys of its runs
- `modules`, `sources`: a package's modules, and nodes as their source shows them
- `memory`: what is remembered of nodes between two calls, one file a project
- `learning`, `classes`: what commands that know better leave there, and nodes as classes show them
- `known`: what is known of a node
"""

from __future__ import annotations

from savethat.cli.completing.callbacks import (
    NodeCommand,
    complete_folders,
    complete_keys,
    complete_nodes,
    complete_statuses,
)

# In the environment of a call that is a shell's question.
VARIABLE = "_SAVETHAT_COMPLETE"

__all__ = [
    "VARIABLE",
    "NodeCommand",
    "complete_folders",
    "complete_keys",
    "complete_nodes",
    "complete_statuses",
]
