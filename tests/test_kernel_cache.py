"""Compiled kernels on disk: nobody loads what another process has not finished, or made for something else."""

import itertools
from types import MethodType

import pytest
from numba.core.caching import IndexDataCacheFile

from sim.core import kernel_cache


def cache(folder, stamp="source 1"):
    return IndexDataCacheFile(str(folder), "module.kernel-7.py313", stamp)


def interrupt(saver, step, before, action):
    """Let something happen before or after a step of a cache's work, the first time that it comes."""
    method, turns = getattr(saver, step), itertools.count()

    def both(self, *arguments):
        is_first = next(turns) == 0
        if before and is_first:
            action()
        result = method(*arguments)
        if not before and is_first:
            action()
        return result

    setattr(saver, step, MethodType(both, saver))


def test_the_engine_saves_kernels_so():
    kernel_cache.install()
    assert IndexDataCacheFile.save is kernel_cache._save


def test_what_is_saved_is_found(tmp_path):
    cache(tmp_path).save("int32", b"code 32")
    cache(tmp_path).save("int64", b"code 64")
    assert cache(tmp_path).load("int32") == b"code 32"
    assert cache(tmp_path).load("int64") == b"code 64"
    cache(tmp_path).save("int32", b"code 32 again")
    assert cache(tmp_path).load("int32") == b"code 32 again"


@pytest.mark.parametrize("step", ["_load_index", "_save_data", "_save_index"])
@pytest.mark.parametrize("before", [True, False])
def test_two_variants_saved_at_the_same_time_are_not_taken_for_each_other(tmp_path, step, before):
    first, second = cache(tmp_path), cache(tmp_path)
    second._load_index = dict  # it had looked before there was anything
    interrupt(first, step, before, lambda: second.save("int64", b"code 64"))
    first.save("int32", b"code 32")
    for key, code in (("int32", b"code 32"), ("int64", b"code 64")):
        assert cache(tmp_path).load(key) in (code, None)  # None: it is compiled once more
        cache(tmp_path).save(key, code)
    assert cache(tmp_path).load("int32") == b"code 32"
    assert cache(tmp_path).load("int64") == b"code 64"


@pytest.mark.parametrize("step", ["_save_data", "_save_index"])
@pytest.mark.parametrize("before", [True, False])
def test_code_of_an_earlier_source_is_never_loaded(tmp_path, step, before):
    cache(tmp_path).save("int32", b"old code")
    new, seen = cache(tmp_path, "source 2"), []
    interrupt(new, step, before, lambda: seen.append(cache(tmp_path, "source 2").load("int32")))
    new.save("int32", b"new code")
    assert seen in ([None], [b"new code"])
    assert cache(tmp_path, "source 2").load("int32") == b"new code"
    assert len(list(tmp_path.glob("*.nbc"))) == 1  # and the old one is gone
