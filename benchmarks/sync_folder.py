"""Brings a folder to B2, or back, with b2sdk's Synchronizer; run by the Python that has b2sdk.

    python sync_folder.py ACCOUNT_FILE SOURCE TARGET

As its own command does it, with ten threads. The key and the realm are in the environment; its
authorization is kept in the file.
"""

import os
import sys
import time
from pathlib import Path

from b2sdk import v2

THREADS = 10


def main() -> None:
    """Does what the command line says."""
    account, source, target = sys.argv[1:]
    info = v2.SqliteAccountInfo(file_name=account)
    api = v2.B2Api(info, max_upload_workers=THREADS, max_download_workers=THREADS)
    api.authorize_account(
        os.environ["B2_ENVIRONMENT"],
        os.environ["B2_APPLICATION_KEY_ID"],
        os.environ["B2_APPLICATION_KEY"],
    )
    folders = v2.parse_folder(source, api), v2.parse_folder(target, api)
    now = int(time.time() * 1000)
    with Path(os.devnull).open("w") as nowhere, v2.SyncReport(nowhere, True) as report:
        v2.Synchronizer(THREADS).sync_folders(*folders, now, reporter=report)


if __name__ == "__main__":
    main()
