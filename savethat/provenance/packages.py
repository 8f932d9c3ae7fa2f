"""The packages that the running interpreter imports from."""

from __future__ import annotations

import json
from typing import Any

from savethat.provenance.redaction import without_credentials


def packages(problems: list[str]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Version by name, and of those installed from a URL or a folder, that origin by name.

    The origin is what PEP 610 records: `url`, whether it is `editable`, the `commit`, and the
    `subdirectory` where the package lies below.
    """
    from importlib import metadata  # 30 ms

    versions: dict[str, str] = {}
    origins: dict[str, dict[str, Any]] = {}
    for distribution in metadata.distributions():
        try:
            facts = distribution.metadata
            if "Name" not in facts or "Version" not in facts:
                raise ValueError("its metadata has no name or no version")
            name = facts["Name"]
            if name in versions:  # what comes first on the path is what is imported
                continue
            versions[name] = facts["Version"]
            if text := distribution.read_text("direct_url.json"):
                origins[name] = _origin(json.loads(text))
        except Exception as error:  # one broken installation does not hide the others
            problems.append(f"packages: one is left out: {type(error).__name__}: {error}")
    return dict(sorted(versions.items(), key=lambda item: item[0].lower())), origins


def _origin(direct_url: dict[str, Any]) -> dict[str, Any]:
    below = direct_url.get("subdirectory")
    return {
        "url": without_credentials(direct_url["url"]),
        "editable": bool(direct_url.get("dir_info", {}).get("editable", False)),
        "commit": direct_url.get("vcs_info", {}).get("commit_id"),
        **({"subdirectory": below} if below else {}),
    }
