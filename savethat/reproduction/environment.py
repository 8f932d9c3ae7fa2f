"""A virtual environment as a run's record describes it, made once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from savethat.errors import SavethatError
from savethat.reproduction.installer import HERE, Installer, InstallError, Say
from savethat.reproduction.pythons import find_python
from savethat.reproduction.requirements import (
    OWN,
    LocalPackage,
    Requirements,
    canonical,
    requirements,
)

# Written last, and then renamed: an environment without it is half-made.
_WHOLE = "whole.json"
_PACKAGE = Path(__file__).resolve().parent.parent
# What a worker's child imports first, and what a node may ask for.
_PROBE = ("savethat.worker.child", "savethat.storage", "loguru")
_LOCAL = re.compile(r"==.*\+")
_REQUIRED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def build_environment(provenance: Mapping[str, Any], folder: Path, *, say: Say) -> Path:
    """An environment with the Python and the packages of a run, made where there is none yet.

    It has exactly the recorded packages: the list is complete, so nothing is resolved. Only
    savethat is always the one that runs now, linked into the environment, because this process and
    the one that runs the node talk to each other.

    Args:
        provenance: the run's `reproducible.json`.
        folder: where environments are kept, each by what is in it.
        say: told what is going on, and one sentence on each thing that is not as it was.

    Returns:
        The environment's Python.

    Raises:
        SavethatError: the record does not suffice, there is no such Python, or a package could
            not be installed: it is named.
    """
    wanted = requirements(provenance)
    # Absolute: what is made runs from other folders.
    env = folder.absolute() / _digest(wanted)
    with _locked(env, say):
        installer = Installer(env)
        differences = _kept(env, installer)
        if differences is None:
            differences = _make(env, installer, wanted, say)
    for difference in (*_own_difference(wanted), *differences):
        say(difference)
    return installer.python


def _digest(wanted: Requirements) -> str:
    """Names an environment by all that decides what is in it."""
    facts = [
        # Homes are shared between machines of different kinds.
        *(sys.platform, platform.machine(), wanted.python, str(_PACKAGE)),
        dict(wanted.pinned),
        [[package.name, package.version, str(package.path)] for package in wanted.local],
        dict(wanted.seeded),
        wanted.differences,
    ]
    content = json.dumps(facts, sort_keys=True).encode()
    return f"py{wanted.python}-{hashlib.sha256(content).hexdigest()[:20]}"


@contextlib.contextmanager
def _locked(env: Path, say: Say) -> Iterator[None]:
    import filelock

    try:
        env.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(env.with_name(f"{env.name}.lock"), mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say("another process is making this environment: waiting for it")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        # Two processes that fill one environment would leave neither's.
        raise SavethatError(f"{env.parent} cannot be locked: {error}", HERE) from error
    try:
        yield
    finally:
        lock.release()


def _kept(env: Path, installer: Installer) -> list[str] | None:
    """What differs in an environment that was made before; None where there is none that works."""
    try:
        differences: list[str] = json.loads((env / _WHOLE).read_bytes())
        # The Python it was made with, or the savethat it links to, may be gone.
        installer.try_import(*_PROBE)
    except (OSError, ValueError, InstallError):
        return None
    return differences


def _make(env: Path, installer: Installer, wanted: Requirements, say: Say) -> list[str]:
    found = find_python(wanted.python, wanted.python_version)
    python, version = found if found is not None else (None, wanted.python)
    differences = [*wanted.differences]
    if version != wanted.python_version:
        differences.append(f"Python is {version}, it was {wanted.python_version}")
    count = len(wanted.pinned) + len(wanted.local)
    say(f"making an environment with Python {version} and {count} packages in {env}")
    if env.exists():  # half-made, or made of what is gone
        shutil.rmtree(env)
    try:
        installer.create(python, wanted.python)
    except InstallError as error:
        raise _told(
            error, f"no environment with Python {version} could be made", HERE, say
        ) from None
    _install_pinned(env, installer, wanted.pinned, say)
    for package in wanted.local:
        differences += _install_local(env, installer, package, say)
    needed = _needed(env, wanted.seeded)
    if needed:
        _install_pinned(env, installer, needed, say)
    _link_own(_site(env))
    try:
        installer.try_import(*_PROBE)
    except InstallError as error:
        message = "this savethat does not run with the recorded packages"
        raise _told(error, message, HERE, say) from None
    aside = env / f"{_WHOLE}.part"
    aside.write_text(json.dumps(differences), encoding="utf-8")
    aside.replace(env / _WHOLE)
    return differences


def _install_pinned(env: Path, installer: Installer, pinned: Mapping[str, str], say: Say) -> None:
    if not pinned:
        return
    # In a file, because a command line has a limit.
    path = env / "requirements.txt"
    path.write_text("".join(f"{line}\n" for line in pinned.values()), encoding="utf-8")
    try:
        installer.install("-r", str(path))
    except InstallError as error:
        culprit = error.culprit([*pinned])
        line = pinned.get(culprit, "what the run had")
        # torch==2.4.0+cu121 is on no index but its makers' own.
        other = "set PIP_EXTRA_INDEX_URL to the index it is from; " if _LOCAL.search(line) else ""
        raise _told(error, f"{line} could not be installed", other + HERE, say) from None


def _install_local(
    env: Path, installer: Installer, package: LocalPackage, say: Say
) -> Iterator[str]:
    """Installs a folder of this machine, if it still is what it was; yields what differs."""
    editable = ["--editable"] if package.editable else []
    try:
        installer.install(*editable, str(package.path))
        version = _installed(env).get(package.name)
        if version == package.version:
            return
        if version is not None:
            installer.uninstall(package.name)
    except InstallError as error:
        message = f"{package.name} could not be installed from {package.path}"
        raise _told(error, message, HERE, say) from None
    yield (
        f"{package.name} {package.version} is left out: {package.path} now holds "
        f"{version or 'another package'}"
    )


def _site(env: Path) -> Path:
    return next(env.glob("lib/python3*/site-packages"))


def _installed(env: Path) -> dict[str, str]:
    return {
        canonical(found.metadata["Name"]): found.version
        for found in metadata.distributions(path=[str(_site(env))])
    }


def _needed(env: Path, seeded: Mapping[str, str]) -> dict[str, str]:
    """Of the packages that come with environments, those that another one requires, as recorded."""
    required = set()
    for found in metadata.distributions(path=[str(_site(env))]):
        for requirement in found.requires or ():
            match = _REQUIRED.match(requirement)
            # What an extra would require was not asked for.
            if match and not re.search(r"\bextra\b", requirement.partition(";")[2]):
                required.add(canonical(match[1]))
    return {name: f"{name}=={version}" for name, version in seeded.items() if name in required}


def _link_own(site: Path) -> None:
    """Puts the running savethat into an environment; what changes there changes here."""
    (site / _PACKAGE.name).symlink_to(_PACKAGE)
    with contextlib.suppress(metadata.PackageNotFoundError):
        distribution = metadata.distribution(OWN)
        info = Path(str(distribution.locate_file(f"{OWN}-{distribution.version}.dist-info")))
        if info.is_dir():
            (site / info.name).symlink_to(info)


def _own_difference(wanted: Requirements) -> Iterator[str]:
    try:
        version = metadata.version(OWN)
    except metadata.PackageNotFoundError:  # run from a checkout
        return
    if wanted.own not in (None, version):
        yield f"savethat is {version}, it was {wanted.own}"


def _told(error: InstallError, message: str, hint: str, say: Say) -> SavethatError:
    for line in error.lines:
        say(line)
    return SavethatError(message, hint)
