"""Draws are Philox4x32-10 at an address, and have the distributions that they are named after."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim.core import draws

U32 = st.integers(0, 2**32 - 1)
N = 20_000
SUBJECTS = np.arange(N)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123 1.14, kat_vectors: philox4x32, 10 rounds
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    assert tuple(draws.words(*key, *counter)) == expected
    assert draws.philox(*(np.uint32(x) for x in (*key, *counter))) == expected


@given(seed=U32, stream=U32, subject=U32, obj=U32, tick=U32, k=U32)
def test_a_draw_depends_on_its_address_only(seed, stream, subject, obj, tick, k):
    alone = draws.uniform(seed, stream, subject, obj, tick, k)
    among_others = draws.uniform(seed, stream, np.array([5, subject, 9]), obj, tick, k)[1]
    assert alone == among_others
    assert 0 < alone < 1


def test_kernel_and_array_draws_agree():
    address = [np.uint32(x) for x in (3, 7, 11, 13, 17, 19)]
    assert draws.u01(*address) == draws.uniform(*(int(x) for x in address))


@pytest.mark.parametrize("field", range(4))
def test_neighbouring_addresses_are_uncorrelated(field):
    counter = [np.zeros(N, int) for _ in range(4)]
    counter[field] = SUBJECTS
    u = draws.uniform(1, 2, *counter)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 4 / np.sqrt(N)
    assert stats.kstest(u, "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [(draws.normal, stats.norm), (draws.exponential, stats.expon), (draws.gumbel, stats.gumbel_r)],
)
def test_transforms_have_their_distribution(draw, distribution):
    assert stats.kstest(draw(1, 2, SUBJECTS), distribution.cdf).pvalue > 1e-4


def test_integers_are_uniform_below_their_bound():
    values = draws.integers(1, 2, SUBJECTS, 7)
    assert stats.chisquare(np.bincount(values, minlength=7)).pvalue > 1e-4
    assert values.min() == 0
    assert values.max() == 6


@pytest.mark.parametrize("high", [0, -3, 2**32, [5, 0], np.array([2**40, 2])], ids=str)
def test_integers_below_no_bound_are_refused(high):
    with pytest.raises(ValueError, match=r"high must be from 1 to 2\*\*32 - 1. Got "):
        draws.integers(1, 2, np.arange(2), high)


@pytest.mark.parametrize("draw", [draws.words, draws.uniform, draws.normal, draws.exponential, draws.gumbel])
@pytest.mark.parametrize(("seed", "stream", "name"), [(2**32, 1, "seed"), (-1, 1, "seed"), (1, 2**32, "stream")])
@pytest.mark.parametrize("subject", [3, SUBJECTS], ids=["one", "many"])
def test_a_key_of_more_than_32_bits_is_refused(draw, seed, stream, name, subject):
    with pytest.raises(ValueError, match=rf"{name} must be from 0 to 2\*\*32 - 1. Got "):
        draw(seed, stream, subject)


def test_streams_keep_their_numbers():
    assert len({int(s) for s in draws.Stream}) == len(list(draws.Stream))
    assert draws.Stream.VISIT == 10
    assert draws.Stream.CHOICE == 12


def test_numbers_of_streams_that_are_gone_are_not_given_again():
    assert not {18, 21, 61, 64} & set(draws.Stream)
