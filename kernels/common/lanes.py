"""A few float32 that lie side by side, as one value of a numba kernel: one vector register.

numba leaves straight-line code scalar, however alike its lines are. A kernel that reads, or adds
to, a few numbers at a place that it looked up does so with these in one instruction each.

How many numbers is known when the kernel is compiled: from the length of the tuple `lanes`.
"""

from typing import no_type_check

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic, models, register_model

_INDEX = ir.IntType(32)
_CONTRACT = ("contract",)  # a product may go into a sum unrounded


class _Lanes(types.Type):  # numba is untyped
    """`count` float32."""

    def __init__(self, count) -> None:
        super().__init__(f"{count} x float32")
        self.count = count


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager, lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(ir.FloatType(), lanes.count))


@njit(inline="always")
@no_type_check
def read(numbers, at, lanes):  # noqa: ANN201
    """The numbers from `at` on of a contiguous array of one axis."""
    numbers[at + len(lanes) - 1]  # so that this index is checked, where indices are checked
    return _read(numbers, at, lanes)


@njit(inline="always")
@no_type_check
def write(numbers, at, lanes, value):  # noqa: ANN201
    """Put `value` where `read` finds it."""
    numbers[at + len(lanes) - 1]
    _write(numbers, at, value)


@intrinsic
def _read(_typing, numbers, at, lanes):
    lanes_type = _Lanes(len(lanes))

    def generate(context, builder, signature, arguments):
        return builder.load(_place(context, builder, signature, arguments, lanes_type), align=4)

    return lanes_type(numbers, at, lanes), generate


@intrinsic
def _write(_typing, numbers, at, value):
    def generate(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments, value)
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(numbers, at, value), generate


def _place(context, builder, signature, arguments, lanes_type):
    numbers = context.make_array(signature.args[0])(context, builder, arguments[0])
    first = builder.gep(numbers.data, [arguments[1]])
    return builder.bitcast(first, context.get_value_type(lanes_type).as_pointer())


@intrinsic
def none(_typing, lanes):  # noqa: ANN201
    """Returns zeros in the same layout."""
    lanes_type = _Lanes(len(lanes))

    def generate(context, _builder, _signature, _arguments):
        return ir.Constant(context.get_value_type(lanes_type), [0.0] * lanes_type.count)

    return lanes_type(lanes), generate


@intrinsic
def plus_scaled(_typing, total, weight, value):  # noqa: ANN201
    """`total + weight * value`, for a number `weight`."""

    def generate(context, builder, signature, arguments):
        total, weight, value = arguments
        vector = context.get_value_type(signature.return_type)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, _INDEX(0))
        same = ir.Constant(ir.VectorType(_INDEX, vector.count), [0] * vector.count)
        weights = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), same)
        product = builder.fmul(value, weights, flags=_CONTRACT)
        return builder.fadd(total, product, flags=_CONTRACT)

    return total(total, types.float32, value), generate


@intrinsic
def apart(_typing, value):  # noqa: ANN201
    """The numbers of a value, as a tuple."""
    numbers = types.UniTuple(types.float32, value.count)

    def generate(context, builder, signature, arguments):
        parts = [builder.extract_element(arguments[0], _INDEX(k)) for k in range(value.count)]
        return context.make_tuple(builder, signature.return_type, parts)

    return numbers(value), generate


@intrinsic
def together(_typing, numbers):  # noqa: ANN201
    """A tuple of float32 as a value: what `apart` undoes."""
    lanes_type = _Lanes(len(numbers))

    def generate(context, builder, _signature, arguments):
        value = ir.Constant(context.get_value_type(lanes_type), ir.Undefined)
        for k in range(lanes_type.count):
            number = builder.extract_value(arguments[0], k)
            value = builder.insert_element(value, number, _INDEX(k))
        return value

    return lanes_type(numbers), generate
