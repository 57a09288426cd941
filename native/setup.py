"""The one C extension; everything else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "driftline_native._native",
            ["src/module.c"],
            depends=[str(header) for header in sorted(Path("src").glob("*.h"))],
            # Without errno rounding is one instruction.
            extra_compile_args=["-std=c11", "-O3", "-fno-math-errno", "-Wall", "-Wextra"],
        )
    ]
)
