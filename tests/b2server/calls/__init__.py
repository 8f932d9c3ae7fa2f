"""The calls of the API, but for uploads and downloads, whose bodies are no JSON."""

from __future__ import annotations

from collections.abc import Callable

from ..api import Json
from ..state import Emulator
from ..wire import Request
from . import accounts, buckets, copies, downloads, files, large_files, lists, uploads

Handler = Callable[[Emulator, Request, Json], "Json | bytes"]

HANDLERS: dict[str, Handler] = {
    "b2_authorize_account": accounts.authorize_account,
    "b2_create_key": accounts.create_key,
    "b2_list_keys": accounts.list_keys,
    "b2_delete_key": accounts.delete_key,
    "b2_create_bucket": buckets.create_bucket,
    "b2_list_buckets": buckets.list_buckets,
    "b2_delete_bucket": buckets.delete_bucket,
    "b2_update_bucket": buckets.update_bucket,
    "b2_list_file_names": lists.list_file_names,
    "b2_list_file_versions": lists.list_file_versions,
    "b2_list_unfinished_large_files": large_files.list_unfinished,
    "b2_list_parts": large_files.list_parts,
    "b2_get_upload_url": uploads.get_upload_url,
    "b2_get_upload_part_url": large_files.get_upload_part_url,
    "b2_start_large_file": large_files.start,
    "b2_finish_large_file": large_files.finish,
    "b2_cancel_large_file": large_files.cancel,
    "b2_copy_file": copies.copy_file,
    "b2_copy_part": copies.copy_part,
    "b2_hide_file": files.hide_file,
    "b2_delete_file_version": files.delete_file_version,
    "b2_get_file_info": files.get_file_info,
    "b2_update_file_retention": files.no_file_lock,
    "b2_update_file_legal_hold": files.no_file_lock,
    "b2_get_download_authorization": downloads.get_download_authorization,
}
