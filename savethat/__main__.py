"""`python -m savethat` is `savethat`."""

from __future__ import annotations

from savethat.cli.main import main

main()
