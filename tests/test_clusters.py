"""A cluster that is lost, or that cannot hand over what it made, fails its runs and keeps nobody waiting."""

from concurrent.futures import BrokenExecutor, wait
from types import SimpleNamespace

import pytest

from experiments.resources import _Cluster


class Remote:
    """A task on a cluster, of which ``end`` tells the client."""

    def __init__(self):
        self.status, self.callbacks, self.problem = "pending", [], None

    def add_done_callback(self, callback):
        self.callbacks.append(callback)

    def cancelled(self):
        return self.status == "cancelled"

    def cancel(self):
        self.end("cancelled")

    def result(self):
        if self.problem is not None:
            raise self.problem
        return 7

    def end(self, status, problem=None):
        self.status, self.problem = status, problem
        for callback in self.callbacks:
            callback(self)


@pytest.fixture
def client():
    remotes = []

    def submit(function, *words, pure):
        assert not pure
        remotes.append(Remote())
        return remotes[-1]

    return SimpleNamespace(status="running", remotes=remotes, submit=submit, close=lambda: None)


def ended(*futures):
    done, waiting = wait(futures, timeout=30)
    assert not waiting
    return done


def test_what_a_task_returns_or_raises_arrives(client):
    with _Cluster(client) as cluster:
        good, bad = cluster.submit(print), cluster.submit(print)
        client.remotes[0].end("finished")
        client.remotes[1].end("error", ValueError("mine"))
        ended(good, bad)
        assert good.result() == 7
        with pytest.raises(ValueError, match="mine"):
            bad.result()


def test_a_result_that_is_lost_while_it_is_fetched_is_a_failure(client):
    with _Cluster(client) as cluster:
        future = cluster.submit(print)
        client.remotes[0].end("finished", OSError("Stream is closed"))
        ended(future)
        with pytest.raises(OSError, match="closed"):
            future.result()


def test_what_never_answers_fails_with_its_scheduler(client):
    with _Cluster(client) as cluster:
        silent, answered = cluster.submit(print), cluster.submit(print)
        client.remotes[1].end("finished")
        client.status = "closed"
        ended(silent, answered)
        assert answered.result() == 7
        with pytest.raises(BrokenExecutor, match="scheduler is gone"):
            silent.result()
        with pytest.raises(BrokenExecutor, match="scheduler is gone"):
            cluster.submit(print)
        client.remotes[0].end("finished")  # too late: nobody waits, and nothing breaks


def test_cancelling_goes_both_ways(client):
    with _Cluster(client) as cluster:
        ours, theirs = cluster.submit(print), cluster.submit(print)
        assert ours.cancel()
        assert client.remotes[0].cancelled()
        client.remotes[1].end("cancelled")
        ended(ours, theirs)
        assert theirs.cancelled()
