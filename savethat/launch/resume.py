"""Goes on with launches that SLURM took only a part of."""

from __future__ import annotations

from collections.abc import Iterator

from savethat.catalog.listing import Catalog
from savethat.config import Config
from savethat.errors import SavethatError
from savethat.launch.submit import Submitted, go_on
from savethat.launchers.foreground import login_name
from savethat.launchers.slurm.waiting import launches_waiting
from savethat.run.layout import JOBS
from savethat.run.status import Status


def resume_waiting(
    config: Config, catalog: Catalog
) -> Iterator[tuple[str, Submitted | SavethatError]]:
    """Submits what waits of this user's launches; for each launch, what became of it.

    Raises:
        StorageError: the runs could not be listed.
    """
    launches = set(launches_waiting(catalog.home.root / JOBS))
    if not launches:
        return
    positions: dict[str, list[int]] = {}
    for row in catalog.list(max_age=0.0).rows:
        # A run that was cancelled meanwhile has a mark, and is not submitted any more.
        mine = row.launch in launches and row.place.user == login_name()
        if mine and row.status is Status.QUEUED and not row.mark:
            positions.setdefault(row.launch, []).append(row.position)
    for launch_id, members in positions.items():
        launch = catalog.launch(launch_id)
        if launch is None:
            continue
        try:
            yield launch_id, go_on(config, launch, members)
        except SavethatError as error:
            yield launch_id, error
