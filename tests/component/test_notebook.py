"""The example notebook runs from its first cell to its last, and is committed without outputs."""

import json
import os
from pathlib import Path
from typing import Any

import analysts_world as world
import nbclient
import nbformat
import pytest
from clickhouse_connect.driver.client import Client

NOTEBOOK = Path(__file__).parent.parent.parent / "docs" / "notebooks" / "monitoring.ipynb"


def test_it_runs(analysts: Client, clickhouse_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "DRIFTLINE_CLICKHOUSE_URL": clickhouse_url,
        "DRIFTLINE_DATABASE": analysts.database or "",
        "MODEL": f"{world.NAMESPACE}/{world.MODEL}",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(tmp_path),
    }.items():
        monkeypatch.setitem(os.environ, name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    text = " ".join(str(output.get("data", {}).get("text/plain", "")) for output in shown)
    assert world.MODEL in text
    assert "null_rate" in text


def test_it_is_committed_without_outputs() -> None:
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
