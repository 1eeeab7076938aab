"""State is tables: named, typed numpy columns that can grow.

A subclass declares its columns as class annotations; an instance has each as an array attribute::

    class Teams(Table):
        leader: Column = column(np.int32)
        deadline: Column = column(np.int32, fill=-1)

    teams = Teams()
    rows = teams.append(leader=[4, 7])
    teams.leader[rows]            # a view on the live rows

Columns are views on over-allocated buffers, so reading them costs nothing; an append may move the buffers, so do not
keep a column across an append.

A column that only some scenarios need takes no memory until somebody says with :meth:`Table.hold` that they will write
to it; before, it can be read, and says everywhere what rows hold that do not say. Kernels are given
:meth:`Table.held`.

``np.add.at`` on a column must add values of the column's own type: of another type, numpy copies the whole column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
_ALIGNMENT = 64  # bytes: a line of the cache


@dataclass(frozen=True)
class ColumnSpec:
    """Declaration of one column: dtype, fill value for rows that do not say, width (1: a vector), record, on demand."""

    dtype: np.dtype[Any]
    fill: Any = 0
    width: int | None = None
    record: str | None = None
    on_demand: bool = False


def column(
    dtype: npt.DTypeLike, fill: Any = 0, width: int | None = None, record: str | None = None, on_demand: bool = False
) -> Any:
    """Declare a column of a :class:`Table`.

    Parameters
    ----------
    dtype : dtype_like
        Type of the values.
    fill : scalar
        Value of rows that are appended without one.
    width : int, optional
        Make the column a matrix of shape (rows, width).
    record : str, optional
        Keep the values of a row beside those of all columns with the same word here: for columns of which rows are
        read together and at random, and that no loop goes through from end to end. Not for matrices.
    on_demand : bool
        Take no memory before :meth:`Table.hold`. Not for matrices.
    """
    return ColumnSpec(np.dtype(dtype), fill, width, record, on_demand)


def smallest_integer(numbers: int) -> type[np.signedinteger[Any]]:
    """Return the type for a column of which there are many that numbers things from 0, -1: none."""
    return np.int16 if numbers <= np.iinfo(np.int16).max else np.int32


class Table:
    """A growable set of equal-length numpy columns; see the module's docstring.

    Parameters
    ----------
    rows : int
        Number of rows to start with, filled with each column's fill value.
    types : mapping of str to dtype, optional
        Types of columns that are not those which were declared.
    **widths : int
        Width of matrix columns where it is known only at run time.
    """

    columns: ClassVar[dict[str, ColumnSpec]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: spec for name, spec in vars(cls).items() if isinstance(spec, ColumnSpec)}
        for name in own:
            delattr(cls, name)
        cls.columns = {**cls.columns, **own}

    def __init__(self, rows: int = 0, types: Mapping[str, npt.DTypeLike] | None = None, **widths: int) -> None:
        types = types or {}
        self._specs = {
            name: replace(spec, width=widths.get(name, spec.width), dtype=np.dtype(types.get(name, spec.dtype)))
            for name, spec in self.columns.items()
        }
        self._absent = {name for name, spec in self._specs.items() if spec.on_demand}
        self._length = 0
        self._buffers: dict[str, Column] = {}
        self._allocate(max(rows, 16))
        if rows:
            self.append(rows)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __getitem__(self, name: str) -> Column:
        """Return a column by name."""
        if name not in self._specs:
            raise KeyError(name)
        values: Column = getattr(self, name)
        return values

    @property
    def nbytes(self) -> int:
        """Bytes held by the live rows."""
        return sum(self[name].nbytes for name in self if name not in self._absent)

    def hold(self, *names: str) -> None:
        """Take memory for columns on demand: they will be written to."""
        if not self._absent.isdisjoint(names):
            self._absent.difference_update(names)
            self._allocate(self._capacity)

    def held(self, name: str) -> Column:
        """Return a column for a kernel: one on demand that nobody has asked for is empty."""
        column = self[name]
        return column[:0].copy() if name in self._absent else column

    def append(self, rows: int | None = None, **values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Add rows and return their numbers.

        Parameters
        ----------
        rows : int, optional
            How many; taken from the longest value if absent.
        **values : array_like
            Values by column name, scalars or one for each new row; other columns get their fill value.

        Returns
        -------
        ndarray of int64
            Numbers of the new rows.
        """
        if not values.keys() <= self._specs.keys():
            unknown = values.keys() - self._specs.keys()
            raise KeyError(f"{type(self).__name__} has no column {sorted(unknown)}; it has {list(self._specs)}")
        if rows is None:
            rows = max((len(v) for v in map(np.atleast_1d, values.values())), default=0)
        if self._absent:
            self.hold(*values)
        start, stop = self._length, self._length + rows
        if stop > self._capacity:
            self._allocate(max(stop, self._capacity * 2))
        for name, value in values.items():  # the others hold their fill value already
            self._buffers[name][start:stop] = value
        self._length = stop
        self._refresh()
        return np.arange(start, stop)

    def arrays(self) -> dict[str, Column]:
        """Return a copy of every column, for a checkpoint."""
        return {name: self[name].copy() for name in self}

    def restore(self, arrays: dict[str, Column]) -> None:
        """Replace the content by what :meth:`arrays` gave."""
        rows = len(next(iter(arrays.values())))
        self._length = 0
        self._allocate(max(rows, 16))
        empty = {name for name in self._absent if (arrays[name] == self._specs[name].fill).all()}
        self.append(rows, **{name: array for name, array in arrays.items() if name not in empty})

    def _allocate(self, capacity: int) -> None:
        """Make room for so many rows: all columns in one piece of memory, which large pages can then hold.

        Rows are read by the column and at random: with a page of 4 kB for every thousand rows of each column, most
        accesses would wait for the address and not for the value.
        """
        kinds = self._pieces()
        sizes = [capacity * kind.itemsize for kind in kinds]
        starts = np.cumsum([0, *(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes)])
        memory = np.empty(starts[-1] + _ALIGNMENT, np.uint8)
        memory = memory[-memory.ctypes.data % _ALIGNMENT :]
        for kind, start, size in zip(kinds, starts, sizes, strict=False):
            piece = memory[start : start + size].view(kind)
            for name in kind.names or ():
                fresh = piece[name]
                if self._length:
                    fresh[: self._length] = self._buffers[name][: self._length]
                fresh[self._length :] = self._specs[name].fill
                self._buffers[name] = fresh
        for name in self._absent:
            spec = self._specs[name]
            self._buffers[name] = np.broadcast_to(np.array(spec.fill, spec.dtype), capacity)
        self._capacity = capacity
        self._refresh()

    def _pieces(self) -> list[np.dtype[Any]]:
        """Return the columns as records, each a piece of memory: most are alone in theirs."""
        together: dict[str, list[tuple[Any, ...]]] = {}
        present = [(name, spec) for name, spec in self._specs.items() if name not in self._absent]
        for name, spec in sorted(present, key=lambda item: -item[1].dtype.itemsize):  # none across a line
            field = (name, spec.dtype) if spec.width is None else (name, spec.dtype, (spec.width,))
            together.setdefault(spec.record or name, []).append(field)
        return [np.dtype(fields, align=True) for fields in together.values()]

    def _refresh(self) -> None:
        length = self._length
        self.__dict__.update({name: buffer[:length] for name, buffer in self._buffers.items()})
