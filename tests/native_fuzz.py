"""``make fuzz``: the native decoder under sanitizers, on damaged events, beside the careful one; and the kernels.

Builds the extension with sanitizers into var/fuzz, starts itself again under them, and works until the time is over.
Ends with 1, and the value and the seed that show it, when the decoders differ; a sanitizer's report ends it at once.
"""

import argparse
import os
import random
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.events import SourceTopic

ROOT = Path(__file__).parent.parent
BUILT = ROOT / "var" / "fuzz"
_INSIDE = "DRIFTLINE_FUZZ_INSIDE"
_FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g"
_BATCH = 256
_MOST = 5_000
_TOPICS: tuple[SourceTopic, ...] = ("predictions", "outcomes")
_SECONDS_TOLD = 15.0

_TOKENS = [
    *(bytes([byte]) for byte in b'\0\t\n "\\{}[]:,-+.eE019tfnZ\x7f\x80\xc3\xed\xf0\xf4\xff'),
    b'""', b"{}", b"[]", b"null", b"true", b"false", b"1e400", b"-0", b"0.1", b"1e-5", b"9" * 19, b"9" * 25,
    b"0." + b"3" * 17, b"\\u0041", b'\\"', "é".encode(), "🛫".encode(), b"\xed\xa0\x80", b'"x":1,', b'"late":0.5',
    b'"cat"', b'"model":"animal",', b".123456789", b"+05:30", b"2024-02-29T23:59:59", b"1969-12-31", b"[" * 17,
    b'{"a":' * 17, b"x" * 200, b"x" * 4096,
]  # fmt: skip
_EVENTS = [
    b'{"namespace":"demo","model":"delay","version":"1","prediction_id":"a-1","event_time":"2013-02-01T05:00:00.125Z",'
    b'"features":{"x":1.5,"h\xc3\xb6he":0.30000000000000004,"origin":"JFK","wet":true,"half":null,"new":2},'
    b'"scores":{"late":0.25}}',
    b'{"namespace":"demo","model":"delay","version":"1","prediction_id":"a-1","event_time":"2013-02-01T05:00:00+01:00",'
    b'"features":{"x":1,"origin":"N\xc3\xbcrnberg","half":false,"new":"y"},"prediction":1,"scores":{"late":1,"early":0},'
    b'"latency_ms":0.5,"segments":{"cabin":"y","origin":"EWR","other":"z"},"role":"shadow","unknown":[1,{"a":null}]}',
    b'{"event_time":"2013-02-01T05:00:00Z","features":{"x":-1e-7},"model":"animal","namespace":"demo","prediction":"cat",'
    b'"prediction_id":"b","scores":{"cat":0.5,"3":0.25,"true":0.25},"version":"2"}',
    b' { "namespace" : "demo" , "model" : "price" , "version" : "3" , "prediction_id" : "c" , "event_time" : '
    b'"2024-02-29T00:00:00Z" , "features" : { } , "prediction" : 123456789.123456789 , "segments" : {"origin":""} } ',
    b'{"namespace":"demo","model":"delay","prediction_id":"a-1","event_time":"2013-02-01T05:00:00Z","label":"late"}',
    b'{"label":3,"namespace":"demo","model":"animal","prediction_id":"a-1","event_time":"2013-02-01T05:00:00.1Z"}',
    b'{"namespace":"demo","model":"price","prediction_id":"a-1","event_time":"2013-02-01T05:00:00Z","label":-1.25e2,"x":{}}',
]


def damaged(value: bytes, other: bytes, rng: random.Random) -> bytes:
    """A value with one to four kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randrange(len(value) + 1)
        end = min(len(value), start + rng.choice((0, 1, 1, 2, 8, 40)))
        match rng.randrange(6):
            case 0:
                value = value[:start] + value[end:]
            case 1:
                value = value[:start] + rng.choice(_TOKENS) + value[end:]
            case 2:
                value = value[:start] + value[start:end] * 2 + value[end:]
            case 3 if start < len(value):
                value = value[:start] + bytes([value[start] ^ 1 << rng.randrange(8)]) + value[start + 1 :]
            case 4:
                cut = rng.randrange(len(other) + 1)
                value = value[:start] + other[cut : cut + rng.randrange(60)] + value[end:]
            case _:
                value = value[:start] if rng.random() < 0.2 else value
    return value


def count(rng: random.Random) -> None:
    """Count a small column by group with the kernels and with numpy; both must agree, or refuse."""
    from detectors import kernels, sketch

    size, groups, bins = rng.randrange(40), rng.randrange(1, 5), rng.randrange(6)
    values = [rng.choice((rng.gauss(0, 1), rng.random(), 0.0, 2.0**50, float("nan"))) for _ in range(2 * size)]
    column, codes = np.array(values)[::2], np.array([rng.randrange(-1, bins + 1) for _ in range(size)], np.int32)
    ids = np.array([rng.randrange(groups + (rng.random() < 0.01)) for _ in range(size)], np.int64)
    edges = sorted(rng.gauss(0, 1) for _ in range(bins))
    found = []
    for kernels.INSTALLED in (True, False):
        try:
            numbers = sketch.group_numeric(column, ids, groups, edges, low=0.5)
            found.append(str([*numbers, *sketch.group_categorical(codes, ids, groups, bins)]))
        except ValueError as error:
            found.append(str(error))
    assert found[0] == found[1], found


def remember(rng: random.Random) -> None:
    """Claim, look up and forget a few ids in the native table and in a dictionary; both must agree."""
    from streams.aggregate.ids import NativeIds, PlainIds
    from streams.aggregate.keys import Keys

    native, plain = NativeIds(), PlainIds()
    for slot in range(0, 400, 40):
        keys = Keys.of([bytes(rng.choices(b"ab", k=rng.randrange(9))) for _ in range(rng.randrange(40))])
        prefix, count = bytes(rng.choices(b"ab", k=rng.randrange(3))), rng.randrange(50)
        found = [
            (ids.claim(keys, slot).tolist(), ids.forget(count, prefix).tolist(), ids.find(keys).tolist(), ids.oldest())
            for ids in (native, plain)
        ]
        assert found[0] == found[1], found


def refuse_memory(values: Sequence[bytes | None]) -> int:
    """Let each allocation of a batch fail once, where Python can do that; how many did."""
    try:
        from _testcapi import remove_mem_hooks, set_nomemory  # type: ignore[import-not-found]  # not in every Python
    except ImportError:
        return 0
    import driftline_native
    import native_world as world

    numbers, groups, codes = np.zeros(8), np.zeros(8, np.int64), np.zeros(8, np.int32)
    offsets = np.arange(9, dtype=np.int32)
    starts, sizes = np.arange(8) * 91, np.full(8, 91, np.int32)

    def work() -> None:
        driftline_native.numeric(numbers, groups, 1, numbers[:1], None, 1.0)
        driftline_native.categorical(codes, groups, 1, 2)
        keys, _hashes = driftline_native.prefixed(b"k" * 90, offsets, b"12345678")
        ids = driftline_native.Ids()
        ids.claim(keys, starts, sizes, 0)
        ids.forget(b"k", 3)
        decoder = world.decoder()
        decoder.predictions(values, True)
        decoder.outcomes(values, True)

    refused = 0
    for allocation in range(100_000):
        set_nomemory(allocation, allocation + 1)
        try:
            work()
        except MemoryError:
            refused += 1
        else:
            remove_mem_hooks()
            if allocation > refused + 200:  # the failures were beyond the last allocation
                return refused
        finally:
            remove_mem_hooks()
    raise AssertionError("a batch of a few events allocates without end")


def work(seconds: float, seed: int) -> int:
    """Fuzz in this process."""
    import native_world as world
    from driftline_native import _native

    if not Path(str(_native.__file__)).is_relative_to(BUILT):
        print(f"not under sanitizers: {_native.__file__} is not the build in {BUILT}")
        return 1
    refused = refuse_memory([*_EVENTS, b"{", None])
    print(f"seed {seed}; {refused or 'no'} allocations failed on purpose", flush=True)
    rng, events, sure = random.Random(seed), 0, 0
    start = told = time.monotonic()
    corpus: list[bytes] = []
    while True:
        if not corpus or len(corpus) > _MOST:
            corpus, decoder = list(_EVENTS), world.decoder()
        batch = [damaged(rng.choice(corpus), rng.choice(corpus), rng) for _ in range(_BATCH)]
        for topic in _TOPICS:
            try:
                count(rng)
                remember(rng)
                found = world.check(decoder, topic, batch)
            except AssertionError as error:
                print(f"The decoders differ (--seed {seed}, event {events:,}, {topic}): {error}")
                return 1
            sure += len(found)
            # What survived is damaged again, so that damage adds up.
            corpus += {batch[row] for row in found}.difference(corpus)
        events += len(batch)
        now = time.monotonic()
        if now - told > _SECONDS_TOLD or now - start > seconds:
            told = now
            print(f"{now - start:6.0f} s  {events:,} events, {sure:,} of them decoded here, no difference", flush=True)
        if now - start > seconds:
            return 0


def sanitized(arguments: list[str]) -> int:
    """Build with sanitizers and run this file under them."""
    compiler = os.environ.get("CC") or str(sysconfig.get_config_var("CC")).split()[0]
    library = subprocess.check_output([compiler, "-print-file-name=libasan.so"], text=True).strip()
    package = BUILT / "driftline_native"
    package.mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "_native.pyi"):
        (package / name).write_bytes((ROOT / "native" / "driftline_native" / name).read_bytes())
    target = package / ("_native" + str(sysconfig.get_config_var("EXT_SUFFIX")))
    include = sysconfig.get_paths()["include"]
    source = ROOT / "native" / "src" / "module.c"
    flags = ["-shared", "-fPIC", "-std=c11", *_FLAGS.split(), "-I", include]
    subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)
    # Python's own allocator would hide reads past the end of its objects; its leaks at exit are not ours.
    environment = os.environ | {
        _INSIDE: "1", "LD_PRELOAD": library, "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1", "PYTHONPATH": os.pathsep.join(map(str, (BUILT, ROOT / "tests", ROOT))),
    }  # fmt: skip
    return subprocess.run([sys.executable, __file__, *arguments], env=environment, check=False).returncode


def main() -> int:
    """Parse the arguments and start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(2**31), help="default: another each time"
    )
    arguments = parser.parse_args()
    given = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
    return work(arguments.seconds, arguments.seed) if os.environ.get(_INSIDE) else sanitized(given)


if __name__ == "__main__":
    sys.exit(main())
