"""What people type for a thing: enough of its name to be the only one."""

from collections.abc import Iterable

from schemas.partials import model_key


class NotThere(LookupError):
    """The answer is no: there is no such thing, or nothing can be done about it any more."""


class NotOne(ValueError):
    """What was typed means more than one thing, or nothing."""


def pick_model(known: Iterable[tuple[str, str]], name: str) -> tuple[str, str]:
    """(namespace, model) of ``namespace/model``, or of a model's name where it is the only one.

    Raises:
        NotThere: it is not among ``known``.
        NotOne: several namespaces have it.
    """
    keys = sorted(known)
    found = [key for key in keys if name in (model_key(*key), key[1])]
    if len(found) == 1:
        return found[0]
    names = ", ".join(model_key(*key) for key in (found or keys)) or "none"
    if found:
        raise NotOne(f"model {name!r} is in several namespaces: {names}; type the namespace too")
    raise NotThere(f"no model {name!r} has been reported on; known: {names}")
