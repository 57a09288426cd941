"""Content-addressed store: a blob's name is the SHA-256 of its bytes, so it can be checked before it is believed.

Snapshots, artifacts, references and manifests live here. Names are 64 hex digits and nothing else: no path or URL that
a message carries is ever followed.
"""

import os
import re
import tempfile
from pathlib import Path

from schemas.ids import sha256_hex

_ADDRESS = re.compile(r"[0-9a-f]{64}")


class BlobError(Exception):
    """A blob that cannot be had; waiting does not help."""


class CorruptBlob(BlobError):
    """The bytes under a name do not have that name's hash."""


class MissingBlob(BlobError):
    """Nothing is stored under a name."""


class BadAddress(BlobError, ValueError):
    """A name that is not 64 lower-case hex digits."""


class Store:
    """Blobs in a directory, two levels deep (``ab/abcd...``); several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, address: str) -> Path:
        """Where a blob lives.

        Raises:
            BadAddress: the name is not 64 lower-case hex digits.
        """
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise BadAddress(
                f"{address!r:.100} is no content address: 64 lower-case hex digits are (SHA-256); "
                "paths and URLs are never followed"
            )
        return self.root / address[:2] / address

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its address; storing the same bytes again also repairs a damaged copy."""
        address = sha256_hex(data)
        target = self.path(address)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".put-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files for the owner only; services that serve a version read the store as other users.
            temporary.chmod(0o644)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)
        return address

    def get(self, address: str) -> bytes:
        """The bytes stored under ``address``, verified: nobody parses what does not have its hash.

        Raises:
            BadAddress: the name is not a content address.
            MissingBlob: nothing is stored there.
            CorruptBlob: the bytes have another hash.
        """
        path = self.path(address)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise MissingBlob(
                f"blob {address} is not in the store {self.root}; copy it there or ask for a new training"
            ) from None
        found = sha256_hex(data)
        if found != address:
            raise CorruptBlob(
                f"blob {address} is damaged: its {len(data)} bytes hash to {found}; "
                "restore the file from a copy or ask for a new training"
            )
        return data


def _sync_directory(directory: Path) -> None:
    """Make a rename durable: the name is in the directory, and the directory must reach the disk too."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
