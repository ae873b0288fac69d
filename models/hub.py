"""Files of a hub repository, downloaded or from the client's cache."""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PART = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")


def is_repository(name: str) -> bool:
    """Whether the hub could have a repository ``organisation/name`` (huggingface_hub/utils/_validators.py:28-149)."""
    parts = name.split("/")
    return len(parts) == 2 and all(PART.fullmatch(part) for part in parts) and not name.endswith(".git")


def fetch(
    name: str,
    files: Sequence[str],
    *,
    subfolder: str | None = None,
    local_files_only: bool | None = False,
    cache_dir: Any = None,
    **options: Any,
) -> tuple[dict[str, Path], str]:
    """Those of ``files`` that a repository has, by name, and a reason why there are no others.

    Without a connection they come from the client's cache, as under ``local_files_only`` or ``HF_HUB_OFFLINE``.

    Args:
        name: ``organisation/name``.
        files: to look for, in ``subfolder`` where one is given.
        options: the client's own: ``revision`` and ``token``.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    subfolder = (subfolder or "").strip("/")
    if local_files_only or not reachable():
        return _cached(name, files, subfolder, cache_dir, **options)
    found: dict[str, Path] = {}
    for file in files:
        try:
            path = hf_hub_download(name, file, subfolder=subfolder or None, cache_dir=cache_dir, **options)
            found[file] = Path(path)
        except LocalEntryNotFoundError:  # the connection was lost on the way
            return _cached(name, files, subfolder, cache_dir, **options)
        except EntryNotFoundError:
            continue
        # From here on, what was found is not all that there is, and another file may win over it.
        except RevisionNotFoundError:
            return {}, f"it has no revision {options.get('revision')!r}"
        except GatedRepoError:
            return {}, "it is gated: ask for access on its page, and give a token (HF_TOKEN)"
        except RepositoryNotFoundError:
            return {}, "there is none of this name, or it is private and needs a token (HF_TOKEN)"
        except Exception as error:  # a full disk, a server's fault: the client and its HTTP library each have theirs
            return {}, str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return found, "it holds none"


def _cached(
    name: str,
    files: Sequence[str],
    subfolder: str,
    cache_dir: Any = None,
    revision: str | None = None,
    token: Any = None,  # nobody asks for it
) -> tuple[dict[str, Path], str]:
    from huggingface_hub import try_to_load_from_cache

    found = {}
    for file in files:
        path = try_to_load_from_cache(name, f"{subfolder}/{file}" if subfolder else file, cache_dir, revision)
        if isinstance(path, str):
            found[file] = Path(path)
    return found, "it is not in the local cache, and the hub is not reached"


def reachable() -> bool:
    """Whether the hub's host answers: without this the client retries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    if urllib.request.getproxies().get(address.scheme):
        return True  # the proxy knows the way
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    return True
