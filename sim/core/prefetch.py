"""Fetch ahead: ask the processor for memory some time before it is used.

The rows of persons who come in a tick are anywhere in memory. Each look-up would wait some hundred nanoseconds, longer
than all that is done with what it finds. A kernel that asks for the row of a later person at each step waits for none.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

AHEAD = 24  # persons: how long before their turn a kernel asks for what it will read of them
_TO_READ, _KEEP, _DATA = 0, 3, 1  # what LLVM calls rw, locality and cache type


@intrinsic
def prefetch(typingctx, column, row):  # type: ignore[no-untyped-def]
    """Fetch the first cache line of ``column[row]``, within a kernel; ``row`` counts from the start and must exist."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, arguments[0])
        at = context.cast(builder, arguments[1], signature.args[1], types.intp)
        stride = cgutils.unpack_tuple(builder, array.strides, kind.ndim)[0]
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.gep(builder.bitcast(array.data, pointer), [builder.mul(at, stride)])
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        )
        builder.call(function, [address, *(ir.Constant(number, flag) for flag in (_TO_READ, _KEEP, _DATA))])
        return context.get_dummy_value()

    return types.void(column, row), generate
