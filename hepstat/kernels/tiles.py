"""Small matrix products held in vector registers: what networks spend their time on.

Events are kept in *strips* of `STRIP_BYTES` bytes, feature by feature, so that a vector instruction does the same for
many events. Each function here is a fixed number of rows times one strip, written in the instructions of the compiler
because no loop in Python makes it keep a block of sums in registers. The length of the vectors is the processor's.

Positions are counted in numbers from the start of an array. Without JIT, plain numpy does the same.
"""

from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

__all__ = ["COLUMNS", "ROWS", "STRIP_BYTES", "WIDE_ROWS", "pair_sums", "pair_sums_single", "product", "product_single"]

_intrinsic: Any = intrinsic  # numba types what it returns as if its callers passed the typing context
_JIT = not getattr(numba.config, "DISABLE_JIT", 0)
_HAS_512_BITS = bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))
_VECTOR_BYTES = 64 if _HAS_512_BITS else 32

STRIP_BYTES = 128
WIDE_ROWS = 8 if _HAS_512_BITS else 4  # rows that `product` does at once: as many sums as registers hold
ROWS = 4 if _HAS_512_BITS else 2  # rows and columns that `pair_sums` does at once
COLUMNS = 4
_LIBERTIES = ("contract", "nsz")
_TOGETHER = 2  # vectors of a strip that `product` works on at a time


class _Strip:
    """Code for vectors of one number type."""

    def __init__(self, builder: Any, number: Any) -> None:
        self.builder = builder
        self.number = number
        self.size = 4 if isinstance(number, ir.FloatType) else 8
        self.lanes = _VECTOR_BYTES // self.size
        self.length = STRIP_BYTES // self.size
        self.vector = ir.VectorType(number, self.lanes)

    def load(self, data: Any, position: Any) -> Any:
        pointer = self.builder.gep(data, [position])
        value = self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)
        return value

    def store(self, value: Any, data: Any, position: Any) -> None:
        pointer = self.builder.bitcast(self.builder.gep(data, [position]), value.type.as_pointer())
        self.builder.store(value, pointer, align=self.size)

    def spread(self, value: Any) -> Any:
        """Return a vector whose entries all are this number."""
        one = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), value, _int32(0))
        return self.builder.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), _indices([0] * self.lanes))

    def add_product(self, sum_: Any, a: Any, b: Any) -> Any:
        return self.builder.fadd(sum_, self.builder.fmul(a, b, flags=_LIBERTIES), flags=_LIBERTIES)

    def sums(self, vectors: list[Any]) -> Any:
        """Return a vector with the sums of the entries of `lanes` vectors, adding neighbours in pairs."""
        even = _indices(range(0, 2 * self.lanes, 2))
        odd = _indices(range(1, 2 * self.lanes, 2))
        while len(vectors) > 1:
            vectors = [
                self.builder.fadd(
                    self.builder.shuffle_vector(a, b, even), self.builder.shuffle_vector(a, b, odd), flags=_LIBERTIES
                )
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
        return vectors[0]


def _int32(value: int) -> Any:
    return ir.Constant(ir.IntType(32), value)


def _int64(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _indices(values: Any) -> Any:
    values = list(values)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(values)), values)


class _Loop:
    """A counting loop that carries values in registers."""

    def __init__(self, builder: Any, count: Any, carried: list[Any]) -> None:
        self.builder = builder
        before = builder.block
        self.head = builder.append_basic_block("tile.loop")
        self.after = builder.append_basic_block("tile.after")
        some = builder.icmp_signed(">", count, _int64(0))
        builder.cbranch(some, self.head, self.after)
        builder.position_at_end(self.head)
        self.count = count
        self.index = builder.phi(ir.IntType(64))
        self.index.add_incoming(_int64(0), before)
        self.values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            self.values.append(phi)
        self._before = before
        self._start = carried

    def end(self, values: list[Any]) -> list[Any]:
        """Close the loop and return the values after it."""
        builder = self.builder
        last = builder.block
        following = builder.add(self.index, _int64(1))
        self.index.add_incoming(following, last)
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, last)
        builder.cbranch(builder.icmp_signed("<", following, self.count), self.head, self.after)
        builder.position_at_end(self.after)
        results = []
        for start, value in zip(self._start, values, strict=True):
            phi = builder.phi(value.type)
            phi.add_incoming(start, self._before)
            phi.add_incoming(value, last)
            results.append(phi)
        return results


def _data(context: Any, builder: Any, signature: Any, args: Any, which: int) -> Any:
    return make_array(signature.args[which])(context, builder, args[which]).data


def _product_code(rows: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w, a, c = (_data(context, builder, signature, args, i) for i in (0, 4, 6))
        first, row_step, column_step, a_first, c_first, bias, n = (args[i] for i in (1, 2, 3, 5, 7, 8, 9))
        strip = _Strip(builder, context.get_value_type(signature.args[0].dtype))
        offsets = list(range(0, strip.length, strip.lanes))
        with_bias = builder.icmp_signed(">=", bias, _int64(0))
        zero = ir.Constant(strip.number, 0.0)
        starts = []
        for row in range(rows):
            # reading entry 0 where there is no bias is harmless
            position = builder.select(with_bias, builder.add(bias, _int64(row)), _int64(0))
            value = builder.load(builder.gep(w, [position]))
            starts.append(strip.spread(builder.select(with_bias, value, zero)))
        for begin in range(0, len(offsets), _TOGETHER):
            chosen = offsets[begin : begin + _TOGETHER]
            loop = _Loop(builder, n, [start for start in starts for _ in chosen])
            a_row = builder.add(a_first, builder.mul(loop.index, _int64(strip.length)))
            loaded = [strip.load(a, builder.add(a_row, _int64(offset))) for offset in chosen]
            column = builder.add(first, builder.mul(loop.index, column_step))
            sums = []
            for row in range(rows):
                position = builder.add(column, builder.mul(row_step, _int64(row)))
                factor = strip.spread(builder.load(builder.gep(w, [position])))
                for k, vector in enumerate(loaded):
                    sums.append(strip.add_product(loop.values[row * len(chosen) + k], factor, vector))
            results = loop.end(sums)
            for row in range(rows):
                c_row = builder.add(c_first, _int64(row * strip.length))
                for k, offset in enumerate(chosen):
                    strip.store(results[row * len(chosen) + k], c, builder.add(c_row, _int64(offset)))
        return context.get_dummy_value()

    return emit


def _pair_sums_code(rows: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        d, x, out = (_data(context, builder, signature, args, i) for i in (0, 3, 6))
        d_first, d_step, x_first, x_step, columns, n = (args[i] for i in (1, 2, 4, 5, 7, 8))
        strip = _Strip(builder, context.get_value_type(signature.args[0].dtype))
        zero = ir.Constant(strip.vector, [0.0] * strip.lanes)
        # columns that do not exist repeat the last one, and nobody reads their sums
        last = builder.sub(columns, _int64(1))
        places = []
        for column in range(COLUMNS):
            inside = builder.icmp_signed("<", _int64(column), columns)
            places.append(builder.mul(builder.select(inside, _int64(column), last), _int64(strip.length)))
        loop = _Loop(builder, n, [zero] * (rows * COLUMNS))
        d_strip = builder.add(d_first, builder.mul(loop.index, d_step))
        x_strip = builder.add(x_first, builder.mul(loop.index, x_step))
        sums = list(loop.values)
        for offset in range(0, strip.length, strip.lanes):
            ds = [strip.load(d, builder.add(d_strip, _int64(row * strip.length + offset))) for row in range(rows)]
            xs = [strip.load(x, builder.add(builder.add(x_strip, place), _int64(offset))) for place in places]
            sums = [
                strip.add_product(sums[row * COLUMNS + column], ds[row], xs[column])
                for row in range(rows)
                for column in range(COLUMNS)
            ]
        results = loop.end(sums)
        results += [zero] * (-len(results) % strip.lanes)
        for begin in range(0, len(results), strip.lanes):
            strip.store(strip.sums(results[begin : begin + strip.lanes]), out, _int64(begin))
        return context.get_dummy_value()

    return emit


def _product_type(rows: int) -> Any:
    def typer(typing_context, w, first, row_step, column_step, a, a_first, c, c_first, bias, n):  # type: ignore[no-untyped-def]
        i = types.int64
        return types.void(w, i, i, i, a, i, c, i, i, i), _product_code(rows)

    return typer


def _pair_sums_type(rows: int) -> Any:
    def typer(typing_context, d, d_first, d_step, x, x_first, x_step, out, columns, n):  # type: ignore[no-untyped-def]
        i = types.int64
        return types.void(d, i, i, x, i, i, out, i, i), _pair_sums_code(rows)

    return typer


def _plain_product(rows: int) -> Any:
    def plain(  # type: ignore[no-untyped-def]
        w, first, row_step, column_step, a, a_first, c, c_first, bias, n
    ):
        length = STRIP_BYTES // a.itemsize
        vectors = a[a_first : a_first + n * length].reshape(n, length)
        for row in range(rows):
            begin = first + row * row_step
            factors = w[begin : begin + (n - 1) * column_step + 1 : column_step] if n else w[:0]
            start = c_first + row * length
            c[start : start + length] = factors @ vectors + (w[bias + row] if bias >= 0 else 0)

    return plain


def _plain_pair_sums(rows: int) -> Any:
    def plain(d, d_first, d_step, x, x_first, x_step, out, columns, n):  # type: ignore[no-untyped-def]
        length = STRIP_BYTES // d.itemsize
        out[:] = 0
        for s in range(n):
            for row in range(rows):
                begin = d_first + s * d_step + row * length
                for column in range(columns):
                    start = x_first + s * x_step + column * length
                    out[row * COLUMNS + column] += d[begin : begin + length] @ x[start : start + length]

    return plain


product: Any
"""product(w, first, row_step, column_step, a, a_first, c, c_first, bias, n): `WIDE_ROWS` rows of a product.

For row j and each event e of a strip, c[j, e] = bias_j + sum_k w[first + j row_step + k column_step] a[k, e] over k <
n. `a` and `c` are strips that begin at a_first and c_first; `bias` is the position of the biases in `w`, or -1 for
none.
"""
pair_sums: Any
"""pair_sums(d, d_first, d_step, x, x_first, x_step, out, columns, n): sums over events of products of pairs.

out[COLUMNS j + k] = sum over n strips and their events of d[j, e] x[k, e], for `ROWS` rows and up to `COLUMNS` columns;
the steps lead from strip to strip. `out` holds at least 16 numbers.
"""
product_single: Any
pair_sums_single: Any

if _JIT:
    product = _intrinsic(_product_type(WIDE_ROWS))
    product_single = _intrinsic(_product_type(1))
    pair_sums = _intrinsic(_pair_sums_type(ROWS))
    pair_sums_single = _intrinsic(_pair_sums_type(1))
else:
    product = _plain_product(WIDE_ROWS)
    product_single = _plain_product(1)
    pair_sums = _plain_pair_sums(ROWS)
    pair_sums_single = _plain_pair_sums(1)
