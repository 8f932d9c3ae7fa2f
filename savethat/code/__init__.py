"""The project's code, captured at launch as a *capsule*, and unpacked where a run needs it.

    capture()        an archive of the code as it is now, named by its content
    unpacked()       a capsule's folder on this machine, for as long as the context is open
    extract()        the same in a folder of one's own, to look at
    import_paths()   what belongs on `sys.path` for it
    clear_unused()   removes unpacked capsules that nobody uses
    editables()      other local packages that this process has imported
    head_commit()    the commit that is checked out

Going in: `files` says which files make up the code, with `git`, `patterns` and `secrets`;
`editable` finds other local packages, `packages` adds them; `plan` decides what enters under which
name; `reading` reads it, `manifest` describes it, `tar` says it in bytes, `archive` does it all.
Coming out: `extraction` takes an archive apart, `unpack` does that once per machine, with `locks`.

An archive holds the project's files under their own names, `.savethat-capsule.json`, and other
local packages under `.savethat-packages/<name>/`. It is a gzipped tar; its name is the beginning
of the SHA-256 of the tar, so that the same tree has the same name whatever compressed it.
"""

from __future__ import annotations

from savethat.code.archive import Capsule, capture
from savethat.code.editable import Editable, editables
from savethat.code.extraction import extract
from savethat.code.git import head_commit
from savethat.code.manifest import import_paths
from savethat.code.packages import MOST_PACKAGE_BYTES, Package
from savethat.code.plan import MOST_BYTES, MOST_LINKED_BYTES
from savethat.code.unpack import UNUSED_AFTER, clear_unused, unpacked

__all__ = [
    "MOST_BYTES",
    "MOST_LINKED_BYTES",
    "MOST_PACKAGE_BYTES",
    "UNUSED_AFTER",
    "Capsule",
    "Editable",
    "Package",
    "capture",
    "clear_unused",
    "editables",
    "extract",
    "head_commit",
    "import_paths",
    "unpacked",
]
