"""``driftline advice``: asks ClickHouse, and shows what :mod:`app.advice` makes of it."""

import json
import sys

from rich.console import Console

from app import advice
from app.commands.common import answering, warehouse


def run(model: str, *, as_json: bool) -> None:
    """Print advice on every quantity of a model; which one is looked at goes to stderr on a terminal."""
    with warehouse() as asked, answering(), Console(stderr=True).status("reading windows") as shown:
        key, found = advice.advised(asked, model, lambda quantity: shown.update(f"replaying {quantity}"))
    if as_json:
        json.dump(advice.as_json(key, found), sys.stdout)
        sys.stdout.write("\n")
    else:
        advice.show(key, found, Console(highlight=False, markup=False, emoji=False))
