"""Classes that users choose by name and add to: their fields are flags, entries of a key, and lines of a help."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar, get_origin, get_type_hints

from foundations.errors import UsageError
from foundations.formats import FORMAT
from foundations.hparams import Hparams
from foundations.registry import Registry

M = TypeVar("M", bound="type[Method]")
Base = TypeVar("Base", bound="Method")


@dataclass(frozen=True, kw_only=True)
class Method(Hparams):
    """A way of doing something, with hyperparameters of its own."""

    name: ClassVar[str] = "unregistered"
    """Set by the registration."""

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class MethodRegistry(Registry[type[Base]]):
    """A registry that gives every method its name and refuses those whose flags could not work."""

    def __init__(self, what: str, flag: str = "") -> None:
        super().__init__(what, flag)
        self._reserved = {"kind", FORMAT}  # entries of the JSON that its fields are written in

    def register(self, name: str) -> Callable[[M], M]:
        """Decorator: enters a class under ``name``, which becomes its class variable ``name``.

        Raises:
            UsageError: if the name is taken, a field has the name of a flag that is reserved, or the class is
                not decorated as a dataclass.
        """
        enter = super().register(name)

        def checked(method: M) -> M:
            self._refuse_forgotten_dataclass(name, method)
            self._refuse_reserved(name, method)
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

    def _refuse_forgotten_dataclass(self, name: str, method: type[Method]) -> None:
        known, hints = {field.name for field in fields(method)}, get_type_hints(method)
        for annotated in method.__annotations__:
            if annotated not in known and ClassVar not in (hints[annotated], get_origin(hints[annotated])):
                raise UsageError(
                    f"{self.what.capitalize()} {name!r}: {annotated!r} is no field; decorate the class with "
                    "@dataclass(frozen=True, kw_only=True) below the registration"
                )
