"""Types and ranges of settings, declared in the annotation of a field and checked in one place.

A field such as ``size: Pixels`` names its unit; `check_fields` refuses a value of another type or
outside the range. No torch here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers between two bounds."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """True if `low` itself is excluded."""
    open_high: bool = False
    """True if `high` itself is excluded."""

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            if (self.low, self.open_low) == (0, True):
                return "positive"
            return f"at least {self.low:g}"
        return (
            f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}"
            f"{')' if self.open_high else ']'}"
        )


@dataclass(frozen=True, slots=True)
class Ascending:
    """Marks a pair (least, most)."""


Count = Annotated[int, Range(0)]
"""A number of things; 0 for none of them."""
PositiveCount = Annotated[int, Range(1)]
"""A number of things, at least one."""
Pixels = Annotated[int, Range(1)]
"""A length in pixels."""
Share = Annotated[float, Range(0, 1)]
"""A share of a whole, in [0, 1]."""
PositiveShare = Annotated[float, Range(0, 1, open_low=True)]
"""A share of a whole, in (0, 1]."""
Decay = Annotated[float, Range(0, 1, open_high=True)]
"""A factor of an exponential moving average, in [0, 1)."""
Weight = Annotated[float, Range(0)]
"""The weight of a term, or a bound; 0 leaves the term out."""
Positive = Annotated[float, Range(0, open_low=True)]
"""A positive number: a length, a rate, a density."""
Timestep = Annotated[float, Range(0, 1000)]
"""A step of a noising schedule of 1000."""
Elevation = Annotated[float, Range(-90, 90)]
"""Degrees above the horizon."""
FieldOfView = Annotated[float, Range(0, 180, open_low=True, open_high=True)]
"""Degrees between the lower and the upper border of a picture."""


def check_fields(config: Any) -> None:  # noqa: ANN401
    """Refuse a value that the annotation of its field does not allow.

    Args:
        config: an instance of a dataclass. Understood are bool, int, float, str, Literal, tuples,
            unions with None, other dataclasses, and `Annotated` with `Range` and `Ascending`.

    Raises:
        ValueError: names the field, what it wants and what it was given.
    """
    for name, annotation in annotations_of(type(config)).items():
        check_value(name, annotation, getattr(config, name))


class Settings:
    """Base of the configuration classes: their values are checked when they are made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check_fields(self)


_Value = TypeVar("_Value")
_ADDED = "added"


def added(default: _Value) -> _Value:
    """Declares a setting that a later version adds, with a default that does what was done before.

    `recorded` leaves it out where it has its default. So a run or batch that was started without
    the setting can be resumed.
    """
    declared: _Value = field(default=default, metadata={_ADDED: True})
    return declared


def recorded(config: Any) -> dict[str, Any]:  # noqa: ANN401
    """Returns a configuration as the data that a run's record holds: tuples are lists.

    Left out are settings that are None, and added ones that have their defaults.
    """
    record = {}
    for declared in fields(config):
        value = getattr(config, declared.name)
        if value is None or (_ADDED in declared.metadata and value == declared.default):
            continue
        if isinstance(value, tuple):
            value = list(value)
        record[declared.name] = recorded(value) if isinstance(value, Settings) else value
    return record


def annotations_of(config: type) -> dict[str, Any]:
    """Name of each field → its annotation."""
    return {field.name: field.type for field in fields(config)}


def check_value(name: str, annotation: Any, value: object) -> None:  # noqa: ANN401
    """Refuse a value that `annotation` does not allow.

    Raises:
        ValueError: its message begins with `name`.
    """
    problem = next(_problems(annotation, value), None)
    if problem is not None:
        raise ValueError(f"{name} must be {problem}, got {_shown(value)}")


def _shown(value: object) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


def _problems(annotation: Any, value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yields the expected value, for each reason why `value` is not allowed."""
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        yield from _problems(arguments[0], value)
        for marker in arguments[1:]:
            if isinstance(marker, Range) and value is not None and value not in marker:
                yield str(marker)
            if isinstance(marker, Ascending) and value[0] > value[1]:
                yield "a pair (least, most)"
    elif kind is Literal:
        if value not in arguments:
            yield f"one of {', '.join(map(repr, arguments))}"
    elif kind in (Union, UnionType):
        if not any(next(_problems(choice, value), None) is None for choice in arguments):
            yield " or ".join(_wanted(choice) for choice in arguments)
    elif kind is tuple:
        yield from _tuple_problems(annotation, arguments, value)
    elif not _has_type(annotation, value):
        yield _wanted(annotation)


def _tuple_problems(
    annotation: Any,  # noqa: ANN401
    arguments: Sequence[Any],
    value: Any,  # noqa: ANN401
) -> Iterator[str]:
    if not isinstance(value, tuple):
        yield _wanted(annotation)
        return
    each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(value) != len(each) or not each:
        yield _wanted(annotation)
        return
    for wanted, item in zip(each, value, strict=True):
        yield from (f"{problem}, each" for problem in _problems(wanted, item))


def _has_type(wanted: type, value: object) -> bool:
    if wanted is float:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    if wanted is int:
        return type(value) is int
    return isinstance(value, wanted)


_NAMES = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text",
          NoneType: "none"}  # fmt: skip


def _wanted(annotation: Any) -> str:  # noqa: ANN401
    """Returns the name of a type in messages."""
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        ranges = [str(marker) for marker in arguments[1:] if isinstance(marker, Range)]
        return " ".join([_wanted(arguments[0]), *ranges])
    if kind is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if kind is tuple:
        count = "one or more " if arguments[-1] is Ellipsis else f"{len(arguments)} "
        whole = next(iter(types_in(arguments[0]))) is int
        return f"a list of {count}{'whole ' if whole else ''}numbers"
    if kind in (Union, UnionType):
        return " or ".join(_wanted(choice) for choice in arguments)
    return _NAMES.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def types_in(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """The types that an annotation allows, without `Annotated` and unions."""
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        yield from types_in(arguments[0])
    elif kind in (Union, UnionType):
        for choice in arguments:
            yield from types_in(choice)
    else:
        yield annotation


def dataclass_in(annotation: Any) -> type | None:  # noqa: ANN401
    """The configuration class that a field holds; None for a field that holds a value."""
    found = next(iter(types_in(annotation)))
    return found if hasattr(found, "__dataclass_fields__") else None
