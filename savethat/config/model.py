"""What a project's configuration is, once it has been read, and the key that goes with it.

The configuration never holds a secret.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from savethat.config.expansion import expand
from savethat.errors import ConfigError

Sync = Literal["worker", "login", "auto"]
SlurmOptions = dict[str, str | int | float | bool | tuple[str, ...]]

DEFAULT_REALM = "production"
# The environment variables of a key, its id first.
KEY_VARIABLES = (
    "B2_APPLICATION_KEY_ID",
    "B2_APPLICATION_KEY",
    "SAVETHAT_B2_KEY_ID",
    "SAVETHAT_B2_KEY",
)
# In the environment of a node, and of what it starts: its project, wherever its code runs from.
PROJECT_DIR = "SAVETHAT_PROJECT_DIR"


@dataclasses.dataclass(frozen=True)
class Credentials:
    """A B2 application key. Its `repr` leaves the secret half out.

    Args:
        key_id: the application key's id.
        key: the application key itself: the secret.
    """

    key_id: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class B2Config:
    """Where the project lives on B2.

    Args:
        bucket: the bucket's name.
        prefix: the folder in the bucket, without a slash at either end.
        realm: `production`, or the URL of a server that speaks the B2 native API.
    """

    bucket: str
    prefix: str
    realm: str = DEFAULT_REALM


@dataclasses.dataclass(frozen=True)
class SlurmConfig:
    """What SLURM jobs ask for unless the command line says otherwise.

    Options are named as sbatch's long ones, with dashes (`cpus-per-task`). Only `setup`, which a
    preset or a cluster may have too, is a tuple.

    Args:
        defaults: options of every job.
        presets: options by the name given to `--preset`.
        clusters: options by SLURM's ClusterName.
        setup: shell lines to run before the worker starts.
    """

    defaults: SlurmOptions = dataclasses.field(default_factory=dict)
    presets: dict[str, SlurmOptions] = dataclasses.field(default_factory=dict)
    clusters: dict[str, SlurmOptions] = dataclasses.field(default_factory=dict)
    setup: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class QueueConfig:
    """This machine's queue.

    Args:
        gpus: indices of the GPUs to hand out; None: those nvidia-smi lists.
        max_parallel: the most runs at a time; None: as many as there are GPUs, or one.
    """

    gpus: tuple[int, ...] | None = None
    max_parallel: int | None = None


@dataclasses.dataclass(frozen=True)
class CodeConfig:
    """What happens to the project's code when runs are submitted.

    Args:
        capsule: whether the code is frozen, so that later edits do not reach queued runs.
        include: glob patterns of files to take although git ignores them.
        exclude: glob patterns of files to leave out.
    """

    capsule: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Config:
    """A project's settings, expanded, with every default filled in.

    Args:
        root: the project root, absolute.
        package: the package that is searched for nodes; None where none is known.
        local_path: where runs are kept on this machine, absolute.
        b2: None for a local-only project.
        scratch: as written, because it is expanded where the worker runs (see `scratch_root`);
            None: the first temporary folder that is usable.
        sync_every: seconds between two carry-outs of a running run.
        keep_local: whether SLURM runs that are stored on B2 are kept under `local_path` too.
        sync: who sends SLURM runs to B2.
        slurm: defaults of SLURM jobs.
        queue: this machine's queue.
        code: what happens to the project's code.
        files: the configuration files that were read, the overriding one last.
    """

    root: Path
    package: str | None
    local_path: Path
    b2: B2Config | None = None
    scratch: str | None = None
    sync_every: float = 60.0
    keep_local: bool = False
    sync: Sync = "auto"
    slurm: SlurmConfig = dataclasses.field(default_factory=SlurmConfig)
    queue: QueueConfig = dataclasses.field(default_factory=QueueConfig)
    code: CodeConfig = dataclasses.field(default_factory=CodeConfig)
    files: tuple[Path, ...] = ()

    def scratch_root(self, environ: Mapping[str, str] = os.environ) -> Path:
        """The folder for scratch on this machine, as this process's environment has it.

        A configured `scratch` is made if it is missing. Without one it is the first of
        `$SLURM_TMPDIR`, `$TMPDIR` and the system's temporary folder that exists and is writable.

        Raises:
            ConfigError: a variable in `scratch` is not set here, or no folder is usable.
        """
        if self.scratch is not None:
            where = f"scratch = {self.scratch!r} on this machine"
            text = expand(self.scratch, self.root, environ, where)
            if not text:
                raise ConfigError(f"{where}: expands to nothing", _SCRATCH_HINT)
            path = self.root / Path(text).expanduser()
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"{where}: {path} cannot be made: {error.strerror}", _SCRATCH_HINT
                ) from error
            if not _usable(path):
                raise ConfigError(f"{where}: {path} is not writable", _SCRATCH_HINT)
            return path
        for name in ("SLURM_TMPDIR", "TMPDIR"):
            folder = Path(environ.get(name, ""))
            if folder.is_absolute() and _usable(folder):
                return folder
        import tempfile  # 10 ms, which most commands never need

        try:
            return Path(tempfile.gettempdir())
        except FileNotFoundError as error:
            raise ConfigError(
                "no folder for scratch is writable: neither $SLURM_TMPDIR, $TMPDIR nor the "
                "system's temporary folder",
                "set scratch in savethat.toml",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """This configuration as JSON values, for a worker on another machine."""
        document = dataclasses.asdict(self)
        for key in ("root", "local_path"):
            document[key] = str(document[key])
        document["files"] = [str(path) for path in self.files]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Config:
        """The configuration that `to_json` wrote.

        Raises:
            ValueError: it is something else, or another version's.
        """
        try:
            return _restored(document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a configuration: {error!r}") from None


def _restored(document: Mapping[str, Any]) -> Config:
    slurm, queue, code = document["slurm"], document["queue"], document["code"]
    gpus = queue["gpus"]
    return Config(
        **{
            **document,
            "root": Path(document["root"]),
            "local_path": Path(document["local_path"]),
            "b2": document["b2"] and B2Config(**document["b2"]),
            "slurm": SlurmConfig(
                defaults=_options(slurm["defaults"]),
                presets={name: _options(table) for name, table in slurm["presets"].items()},
                clusters={name: _options(table) for name, table in slurm["clusters"].items()},
                setup=tuple(slurm["setup"]),
            ),
            "queue": QueueConfig(
                gpus=None if gpus is None else tuple(gpus), max_parallel=queue["max_parallel"]
            ),
            "code": CodeConfig(
                capsule=code["capsule"],
                include=tuple(code["include"]),
                exclude=tuple(code["exclude"]),
            ),
            "files": tuple(Path(path) for path in document["files"]),
        }
    )


_SCRATCH_HINT = "correct scratch in savethat.toml, or leave it out"


def _options(table: Mapping[str, Any]) -> SlurmOptions:
    return {name: tuple(v) if isinstance(v, (list, tuple)) else v for name, v in table.items()}


def _usable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
