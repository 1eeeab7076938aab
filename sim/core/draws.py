"""Random draws by address: Philox4x32-10 under numba.

A draw is an address, not a sequence. Every random number of a run is::

    Philox4x32-10(key=(seed, stream), counter=(subject, object, tick, k))

so it depends on nothing but who draws it, about what, and when. Two runs with the same seed share every draw that they
have in common (common random numbers), whatever the number of threads, and one more person changes only what that
person touches.

Read in this order: :func:`philox` (the generator, pinned to Random123's known answers), the scalar transforms for use
inside numba kernels (``u01``, ``gumbel``, ...), then the array functions for plain numpy code (:func:`uniform`, ...).

References
----------
Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core import kernel_cache

kernel_cache.install()

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_SHIFT, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_TO_UNIT = 2.0**-32
_TWO_PI = 2.0 * math.pi


class Stream(IntEnum):
    """What a draw is about: the second word of the key. A number once given is never reused (18, 21, 61, 64 were)."""

    TASTE = 1  # who a person is
    TRAIT = 2
    RATE = 3
    DROPOUT = 4
    DEVICE = 5
    MEMBER_AT_START = 6
    TENURE = 7
    HISTORY = 8
    VISIT = 10  # what a person does
    QUANTITY = 11
    CHOICE = 12
    SHARE = 13
    RECIPIENT = 14
    READ = 15
    CLICK = 16
    SIGN_UP = 17
    THRESHOLD = 19
    PRODUCT = 20  # what there is to buy
    BROWSE = 24
    SCREEN = 23  # precedence among rivals for the last unit or place
    SLATE = 30  # what the platform does
    EXPLORE = 31
    FACTORS = 32
    COUPON = 40  # schemes
    GROUP_BUY = 41
    REFERRAL = 42
    LOBBY = 43
    RETURN = 50  # operations
    LEAD_TIME = 51
    KOL = 60  # agents
    RING = 62
    RISK = 63
    REVIEW = 65
    SHOCK = 66
    HIDING = 67
    SECOND_ACCOUNT = 68
    BRUSHING = 69
    VERIFY = 70
    ASSIGNMENT = 71  # who is treated in an experiment


@nb.njit(nb.types.UniTuple(nb.uint32, 4)(*[nb.uint32] * 6), inline="always", cache=True)
def philox(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    """Return the four 32-bit words of Philox4x32-10 at one address.

    Parameters
    ----------
    seed, stream : uint32
        The key: the run's seed and what the draw is about (:class:`Stream`).
    subject, obj, tick, k : uint32
        The counter: who, about what, when, and which of several.

    Returns
    -------
    tuple of four uint32
        Independent uniform words.
    """
    c0, c1, c2, c3 = nb.uint32(subject), nb.uint32(obj), nb.uint32(tick), nb.uint32(k)
    k0, k1 = nb.uint32(seed), nb.uint32(stream)
    for _ in range(10):
        p0 = nb.uint64(c0) * _M0
        p1 = nb.uint64(c2) * _M1
        c0, c1, c2, c3 = (
            nb.uint32(p1 >> _SHIFT) ^ c1 ^ k0,
            nb.uint32(p1 & _LOW),
            nb.uint32(p0 >> _SHIFT) ^ c3 ^ k1,
            nb.uint32(p0 & _LOW),
        )
        k0 = nb.uint32(k0 + _W0)
        k1 = nb.uint32(k1 + _W1)
    return c0, c1, c2, c3


@nb.njit(nb.float64(nb.uint32), inline="always", cache=True)
def unit(word):  # type: ignore[no-untyped-def]
    """Map a 32-bit word to the open interval (0, 1): (word + 1/2) / 2**32."""
    return (nb.float64(word) + 0.5) * _TO_UNIT


@nb.njit(nb.float64(nb.uint32, nb.uint32), inline="always", cache=True)
def normal_pair_first(a, b):  # type: ignore[no-untyped-def]
    """Return a standard normal from two words (Box & Muller 1958)."""
    return math.sqrt(-2.0 * math.log(unit(a))) * math.cos(_TWO_PI * unit(b))


@nb.njit(nb.float64(nb.uint32), inline="always", cache=True)
def exponential_of(word):  # type: ignore[no-untyped-def]
    """Return a unit-mean exponential from one word (inverse transform)."""
    return -math.log(unit(word))


@nb.njit(nb.float64(nb.uint32), inline="always", cache=True)
def gumbel_of(word):  # type: ignore[no-untyped-def]
    """Return a standard Gumbel (type-I extreme value) from one word (inverse transform)."""
    return -math.log(-math.log(unit(word)))


@nb.njit(nb.float64(*[nb.uint32] * 6), inline="always", cache=True)
def u01(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    """Return one uniform on (0, 1) at an address, for use inside kernels."""
    return unit(philox(seed, stream, subject, obj, tick, k)[0])


@nb.njit(cache=True)
def _words(seed, stream, subject, obj, tick, k, out):  # type: ignore[no-untyped-def]
    for i in range(subject.size):
        a, b, c, d = philox(seed, stream, subject[i], obj[i], tick[i], k[i])
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = a, b, c, d


def words(
    seed: int,
    stream: int,
    subject: npt.ArrayLike,
    obj: npt.ArrayLike = 0,
    tick: npt.ArrayLike = 0,
    k: npt.ArrayLike = 0,
) -> npt.NDArray[np.uint32]:
    """Return the raw words at many addresses.

    Parameters
    ----------
    seed, stream : int
        The key, each in [0, 2**32).
    subject, obj, tick, k : array_like of int
        The counter, broadcast together; negative numbers wrap modulo 2**32.

    Returns
    -------
    ndarray of uint32, shape (..., 4)
        Four independent words for each address.

    Raises
    ------
    ValueError
        If the seed or the stream is outside its bounds; all array functions do so.
    """
    _check_key(seed, stream)
    parts = np.broadcast_arrays(*(_counter(x) for x in (subject, obj, tick, k)))
    shape = parts[0].shape
    flat = [np.ascontiguousarray(p).reshape(-1) for p in parts]
    out = np.empty((flat[0].size, 4), np.uint32)
    _words(np.uint32(seed), np.uint32(stream), *flat, out)
    return out.reshape(*shape, 4)


def _check_key(seed: int, stream: int) -> None:
    for name, word in (("seed", seed), ("stream", stream)):
        if not 0 <= word <= _WORD:
            raise ValueError(f"{name} must be from 0 to 2**32 - 1. Got {word}.")


def _counter(x: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    values = np.asarray(x)
    return values if values.dtype == np.uint32 else values.astype(np.int64).astype(np.uint32)


@nb.vectorize([nb.float64(*[nb.int64] * 6)], cache=True)
def _uniform(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    return unit(
        philox(nb.uint32(seed), nb.uint32(stream), nb.uint32(subject), nb.uint32(obj), nb.uint32(tick), nb.uint32(k))[0]
    )


@nb.vectorize([nb.float64(*[nb.int64] * 6)], cache=True)
def _normal(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    w = philox(nb.uint32(seed), nb.uint32(stream), nb.uint32(subject), nb.uint32(obj), nb.uint32(tick), nb.uint32(k))
    return normal_pair_first(w[0], w[1])


_NUMBER, _LIST = nb.uint32, nb.uint32[::1]
_WORD = 0xFFFFFFFF


@nb.njit([nb.float64[::1](_NUMBER, _NUMBER, _LIST, _NUMBER, _NUMBER, _NUMBER)], cache=True)
def _uniform_of_subjects(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    result = np.empty(subject.size)
    for i in range(subject.size):
        result[i] = unit(philox(seed, stream, subject[i], obj, tick, k)[0])
    return result


@nb.njit([nb.float64[::1](_NUMBER, _NUMBER, _LIST, _LIST, _NUMBER, _NUMBER)], cache=True)
def _uniform_of_pairs(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    result = np.empty(subject.size)
    for i in range(subject.size):
        result[i] = unit(philox(seed, stream, subject[i], obj[i], tick, k)[0])
    return result


@nb.njit([nb.float64[::1](_NUMBER, _NUMBER, _LIST, _NUMBER, _NUMBER, _NUMBER)], cache=True)
def _normal_of_subjects(seed, stream, subject, obj, tick, k):  # type: ignore[no-untyped-def]
    result = np.empty(subject.size)
    for i in range(subject.size):
        w = philox(seed, stream, subject[i], obj, tick, k)
        result[i] = normal_pair_first(w[0], w[1])
    return result


def uniform(seed: int, stream: int, subject: Any, obj: Any = 0, tick: Any = 0, k: Any = 0) -> npt.NDArray[np.float64]:
    """Return uniforms on (0, 1), one for each address (see :func:`words`).

    Notes
    -----
    Most that a tick asks for is of a list of subjects, or of subjects and objects, at one moment. That is done by
    kernels of their own, in less than half of the time that the general one takes.
    """
    _check_key(seed, stream)
    result: npt.NDArray[np.float64]
    if _is_list(subject) and isinstance(tick, int) and isinstance(k, int):
        tick, k = tick & _WORD, k & _WORD
        subjects = np.ascontiguousarray(_counter(subject))
        if isinstance(obj, int):
            result = _uniform_of_subjects(seed, int(stream), subjects, obj & _WORD, tick, k)
            return result
        if _is_list(obj) and obj.size == subject.size:
            objects = np.ascontiguousarray(_counter(obj))
            result = _uniform_of_pairs(seed, int(stream), subjects, objects, tick, k)
            return result
    result = _uniform(seed, int(stream), subject, obj, tick, k)
    return result


def _is_list(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim == 1


def normal(seed: int, stream: int, subject: Any, obj: Any = 0, tick: Any = 0, k: Any = 0) -> npt.NDArray[np.float64]:
    """Return standard normals, one for each address (Box & Muller 1958; see :func:`words` and :func:`uniform`)."""
    _check_key(seed, stream)
    result: npt.NDArray[np.float64]
    if _is_list(subject) and isinstance(obj, int) and isinstance(tick, int) and isinstance(k, int):
        subjects = np.ascontiguousarray(_counter(subject))
        result = _normal_of_subjects(seed, int(stream), subjects, obj & _WORD, tick & _WORD, k & _WORD)
        return result
    result = _normal(seed, int(stream), subject, obj, tick, k)
    return result


def exponential(
    seed: int, stream: int, subject: Any, obj: Any = 0, tick: Any = 0, k: Any = 0
) -> npt.NDArray[np.float64]:
    """Return unit-mean exponentials, one for each address (see :func:`words`)."""
    result: npt.NDArray[np.float64] = -np.log(uniform(seed, stream, subject, obj, tick, k))
    return result


def gumbel(seed: int, stream: int, subject: Any, obj: Any = 0, tick: Any = 0, k: Any = 0) -> npt.NDArray[np.float64]:
    """Return standard Gumbels, one for each address (see :func:`words`)."""
    result: npt.NDArray[np.float64] = -np.log(exponential(seed, stream, subject, obj, tick, k))
    return result


def integers(
    seed: int, stream: int, subject: Any, high: npt.ArrayLike, obj: Any = 0, tick: Any = 0, k: Any = 0
) -> npt.NDArray[np.int64]:
    """Return integers uniform on [0, high), one for each address.

    Parameters
    ----------
    high : array_like of int
        Exclusive upper bounds in [1, 2**32), broadcast with the address.

    Raises
    ------
    ValueError
        If a bound is not one.

    Notes
    -----
    A scaled 32-bit uniform: the bias is below ``high / 2**32``.
    """
    bound = np.asarray(high)
    if bound.size and not 1 <= bound.min() <= bound.max() <= _WORD:
        raise ValueError(f"high must be from 1 to 2**32 - 1. Got {bound.min()} to {bound.max()}.")
    # A uniform is (word + 1/2) / 2**32, so the product below the bound is exact enough for every 32-bit bound.
    scaled = uniform(seed, stream, subject, obj, tick, k) * bound
    result: npt.NDArray[np.int64] = np.floor(scaled).astype(np.int64)
    return result
