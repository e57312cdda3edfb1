"""Classes that users choose by name and add to: their fields are flags, entries of a key, and lines of a help."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from foundations.errors import UsageError
from foundations.formats import FORMAT
from foundations.hparams import TYPE_NAMES, Hparams
from foundations.registry import Registry
from foundations.text import summary_of_docstring

M = TypeVar("M", bound="type[Method]")
Base = TypeVar("Base", bound="Method")


@dataclass(frozen=True, kw_only=True)
class Method(Hparams):
    """A way of doing something, with hyperparameters of its own."""

    name: ClassVar[str] = "unregistered"
    """Set by the registration."""

    @classmethod
    def summary(cls) -> str:
        return summary_of_docstring(cls.__doc__)


class MethodRegistry(Registry[type[Base]]):
    """A registry that gives every method its name and refuses those whose flags could not work."""

    def __init__(
        self, what: str, flag: str = "", known_as: Mapping[str, str] | None = None, *, are_flags: bool = True
    ) -> None:
        """
        Args:
            what, flag, known_as: as in a registry.
            are_flags: whether the fields of its classes are flags, of which each needs a default.
        """
        super().__init__(what, flag, known_as)
        self._are_flags = are_flags
        self._reserved = {"kind", FORMAT}  # entries of the JSON that its fields are written in

    def register(self, name: str) -> Callable[[M], M]:
        """Decorator: enters a class under ``name``, which becomes its class variable ``name``.

        Raises:
            UsageError: if the name is taken, a field has no default, a type that no flag has or the name of a flag
                that is reserved, or the class is not decorated as a dataclass.
        """
        enter = super().register(name)

        def checked(method: M) -> M:
            self._refuse_forgotten_dataclass(name, method)
            self._refuse_reserved(name, method)
            if self._are_flags:
                self._refuse_no_flag(name, method)
            enter(method)  # type: ignore[arg-type]
            method.name = name
            return method

        return checked

    def reserve(self, flags: Collection[str]) -> None:
        """From now on no field may have one of these names: its flag would have two meanings."""
        self._reserved |= set(flags)
        for name in self:
            self._refuse_reserved(name, self.get(name))

    def _refuse_reserved(self, name: str, method: type[Method]) -> None:
        if clash := sorted({field.name for field in fields(method)} & self._reserved):
            raise UsageError(
                f"{self.what.capitalize()} {name!r}: its field {clash[0]!r} is a flag of the framework; rename it"
            )

    def _refuse_no_flag(self, name: str, method: type[Method]) -> None:
        hints = get_type_hints(method)
        for item in fields(method):
            whose = f"{self.what.capitalize()} {name!r}: its field {item.name!r}"
            if item.default is MISSING:
                raise UsageError(f"{whose} has no default value, which a flag needs")
            if not set(element_types(hints[item.name])) <= set(TYPE_NAMES):
                kinds = ", ".join(kind.__name__ for kind in TYPE_NAMES)
                raise UsageError(
                    f"{whose} is of type {hints[item.name]}, which no flag has; valid: {kinds}, a tuple of one of "
                    "them, or one of them or None"
                )

    def _refuse_forgotten_dataclass(self, name: str, method: type[Method]) -> None:
        known, hints = {field.name for field in fields(method)}, get_type_hints(method)
        for annotated in method.__annotations__:
            if annotated not in known and ClassVar not in (hints[annotated], get_origin(hints[annotated])):
                raise UsageError(
                    f"{self.what.capitalize()} {name!r}: {annotated!r} is not a field; decorate the class with "
                    "@dataclass(frozen=True, kw_only=True) below the registration"
                )


def element_types(hint: Any) -> tuple[Any, ...]:
    """Return the types of the single values that a field holds: int of ``tuple[int, ...] | None``."""
    if isinstance(hint, UnionType) or get_origin(hint) is tuple:
        parts = [part for part in get_args(hint) if part not in (NoneType, Ellipsis)]
        return tuple(element for part in parts for element in element_types(part))
    return (hint,)
