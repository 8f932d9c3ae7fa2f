"""The storage that a node is given: opened when it first asks, and what it read written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savethat.worker.errand import Errand

if TYPE_CHECKING:
    from savethat.inputs import Inputs
    from savethat.storage import Storage


class Loan:
    """A run's storage; a node that uses none waits for none of what it takes to have one."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._inputs: Inputs | None = None

    def storage(self) -> Storage:
        """Opens the project's storage, on the project's remote."""
        from savethat.inputs import Inputs
        from savethat.remotes import open_remote
        from savethat.storage import Storage

        errand = self._errand
        self._inputs = Inputs(errand.key)
        remote = open_remote(errand.config, errand.credentials)
        return Storage(errand.config.local_path, remote, inputs=self._inputs)

    def save_inputs(self) -> None:
        """Writes down what the node read, where it read anything."""
        if self._inputs is not None:
            self._inputs.save(self._errand.output_dir)
