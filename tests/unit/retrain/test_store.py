"""The store gives back what was put, or says exactly why not."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.store import BadAddress, CorruptBlob, MissingBlob, Store
from schemas.ids import sha256_hex


@given(data=st.binary(max_size=2_000))
def test_what_was_put_is_got(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    address = store.put(data)
    assert address == sha256_hex(data)
    assert store.get(address) == data
    assert store.put(data) == address


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    address = store.put(b"model")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [address]


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_flipped_byte_is_found_before_anything_parses_it(tmp_path: Path, place: int) -> None:
    store = Store(tmp_path)
    address = store.put(b"a model file")
    damaged = bytearray(b"a model file")
    damaged[place] ^= 1
    store.path(address).write_bytes(damaged)
    with pytest.raises(CorruptBlob) as caught:
        store.get(address)
    assert address in str(caught.value)
    assert sha256_hex(bytes(damaged)) in str(caught.value)
    assert store.put(b"a model file") == address
    assert store.get(address) == b"a model file"


def test_one_blob_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, other = store.put(b"good"), store.put(b"other")
    store.path(other).replace(store.path(good))
    with pytest.raises(CorruptBlob):
        store.get(good)
    with pytest.raises(MissingBlob, match=other):
        store.get(other)


@pytest.mark.parametrize(
    "name",
    ["", "../" * 20 + "etc/passwd", "http://models.example/a", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "é" * 64],
)
def test_only_hashes_are_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadAddress, match="64 lower-case hex digits"):
        Store(tmp_path).get(name)


def test_a_full_disk_leaves_no_half_blob_and_is_somebody_elses_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("retrain.store.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.put(b"a model")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert store.get(store.put(b"a model")) == b"a model"
