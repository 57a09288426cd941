"""The columns of a model's events, and codes for the names that recur in them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from schemas.spec import FeatureKind

if TYPE_CHECKING:
    from streams.aggregate.models import Generation

T = TypeVar("T")


class Names(Generic[T]):
    """Codes 0, 1, 2... for names, in the order in which they were first heard; none is ever taken back.

    Attributes:
        all: the name of each code.
    """

    def __init__(self) -> None:
        self.all: list[T] = []
        self._codes: dict[T, int] = {}

    def code(self, name: T) -> int:
        """The code of a name."""
        code = self._codes.setdefault(name, len(self.all))
        if code == len(self.all):
            self.all.append(name)
        return code


class Category(NamedTuple):
    """A feature of strings or booleans, and the values that a reference of the model knows."""

    name: str
    kind: FeatureKind
    known: tuple[str, ...]


class Plan(NamedTuple):
    """A layout as the fast decoder wants it (see ``native/``)."""

    namespace: str
    model: str
    numbers: tuple[str, ...]
    categories: tuple[Category, ...]
    tags: tuple[str, ...]
    task: str
    classes: tuple[str, ...]


class Layout:
    """Where the features of a model are: the union over all its generations, by name and kind.

    Attributes:
        key: ``namespace/model``.
        numbers: names of the columns of numbers; NaN is null.
        categories: the columns of codes: -1 null, ``len(known)`` for any other value.
        plan: None when only the careful decoder can read the model's events, because its generations disagree about
            what a name means.
    """

    def __init__(self, key: str, generations: Sequence["Generation"]) -> None:
        self.key = key
        known: dict[tuple[str, FeatureKind], dict[str, None]] = {}
        for generation in generations:
            for feature in generation.spec.features:
                values = known.setdefault((feature.name, feature.kind), {})
                reference = generation.references.get(feature.name)
                values.update(dict.fromkeys(reference.categories if reference else ()))
        self.numbers = tuple(name for name, kind in known if kind == "number")
        self.categories = tuple(
            Category(name, kind, tuple(values)) for (name, kind), values in known.items() if kind != "number"
        )
        self._places = {(name, "number"): place for place, name in enumerate(self.numbers)}
        self._places |= {(name, kind): place for place, (name, kind, _) in enumerate(self.categories)}
        self.codes = [codes_of(category.known) for category in self.categories]
        self.plan = self._plan(generations)

    def place(self, name: str, kind: FeatureKind) -> int:
        """Column of a feature, among the numbers or among the categories."""
        return self._places[name, kind]

    def _plan(self, generations: Sequence["Generation"]) -> Plan | None:
        names = {name for name, _ in self._places}
        meanings = {(g.tags, g.spec.task, g.spec.positive_class, g.spec.classes) for g in generations}
        if len(names) < len(self._places) or len(meanings) > 1:
            return None
        [(tags, task, positive, classes)] = meanings
        namespace, model = self.key.split("/", 1)
        if task == "binary":
            classes = (positive,)
        return Plan(namespace, model, self.numbers, self.categories, tags, task, tuple(classes))


def codes_of(known: Sequence[str]) -> dict[object, int]:
    """Code of each value of a category column; any other value has ``len(known)``. Booleans are "false" and "true"."""
    other = len(known)
    codes: dict[object, int] = {value: code for code, value in enumerate(known)}
    return codes | {None: -1, False: codes.get("false", other), True: codes.get("true", other)}
