"""The same bits from processes, a Dask cluster that loses a worker, and MPI."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from toy_studies import all_records, compiled_study, deadly, moody, plain_study, same_bits, search_study, slow_study

from hepstat.environment import environment
from hepstat.errors import InputError, ToyError
from hepstat.toys import FunctionStudy, load_toys, run

MPI_SCRIPT = """
import sys
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from toy_studies import all_records, plain_study
from hepstat.toys import run
if __name__ == "__main__":
    with MPIPoolExecutor() as pool:
        np.save(sys.argv[1], all_records(run(plain_study(), 200, rng=5, executor=pool, workers=2)))
"""


@pytest.fixture(scope="module")
def pool():
    """Return two processes."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        yield processes


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Return a client of two Dask workers, each a process."""
    distributed = pytest.importorskip("distributed")
    folder = str(tmp_path_factory.mktemp("dask"))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", local_directory=folder
    )
    with cluster, distributed.Client(cluster) as connected:
        yield connected


@pytest.mark.slow
@pytest.mark.parametrize("make", [plain_study, compiled_study, search_study])
@pytest.mark.parametrize("chunk", [13, 100])
def test_processes_change_no_bit(pool, make, chunk, tmp_path):
    """In memory or in a folder; the pool is left running."""
    alone = run(make(), 300, rng=5)
    assert same_bits(run(make(), 300, rng=5, executor=pool, workers=2, chunk=chunk), alone)
    table = run(make(), 300, rng=5, executor=pool, workers=2, chunk=chunk, path=tmp_path)
    assert same_bits(table, alone)
    assert table.environments == (environment(),)
    assert pool.submit(int).result() == 0


@pytest.mark.slow
@pytest.mark.parametrize("make", [plain_study, compiled_study, search_study])
@pytest.mark.parametrize("chunk", [13, 100])
def test_dask_changes_no_bit(client, make, chunk):
    """Neither do its workers."""
    table = run(make(), 300, rng=5, executor=client.get_executor(pure=False), workers=2, chunk=chunk)
    assert same_bits(table, run(make(), 300, rng=5))


@pytest.mark.slow
def test_dask_takes_functions_of_a_notebook(client):
    """Which have no module to be imported from."""
    study = FunctionStudy(lambda index, rng: rng.normal() + index, [("z", float)])
    assert same_bits(run(study, 50, rng=5, executor=client.get_executor(pure=False)), run(study, 50, rng=5))


@pytest.mark.slow
def test_a_killed_dask_worker_changes_no_bit(client, tmp_path):
    """Its toys are thrown again by another."""
    pids = client.run(os.getpid)

    def kill_one():
        while not list(tmp_path.glob("toys-*")):
            time.sleep(0.01)
        os.kill(next(iter(pids.values())), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    executor = client.get_executor(pure=False)
    table = run(slow_study(), 800, rng=5, executor=executor, workers=2, path=tmp_path, flush_seconds=0.1)
    killer.join()
    assert same_bits(table, run(slow_study(), 800, rng=5, workers=4))
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) != set(pids.values())


@pytest.mark.slow
@pytest.mark.parametrize("in_folder", [True, False])
def test_a_broken_pool_leaves_what_is_finished(tmp_path, in_folder):
    """In the error and, if there is one, in the folder."""
    study = FunctionStudy(deadly, [("z", float)], chunk=8)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        path = tmp_path if in_folder else None
        with pytest.raises(ToyError, match="after 40 of 100 toys by BrokenProcessPool") as caught:
            run(study, 100, rng=5, executor=pool, path=path)
    np.testing.assert_array_equal(caught.value.table["z"], run(study, 40, rng=5)["z"])
    if in_folder:
        assert same_bits(load_toys(tmp_path), caught.value.table)


@pytest.mark.slow
def test_a_cluster_that_is_closed_leaves_what_is_finished(tmp_path):
    """As a broken pool does. It closes between two tasks: one that is sent while it closes may never end."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0", local_directory=tmp_path)
    folder = tmp_path / "toys"
    with cluster, distributed.Client(cluster) as client:
        executor = client.get_executor(pure=False)

        class Closing:
            """The executor of a client that closes before the twelfth task."""

            sent = 0

            def submit(self, *task):
                """Send a task."""
                self.sent += 1
                if self.sent == 12:
                    client.close()
                return executor.submit(*task)

        with pytest.raises(ToyError, match=r"after \d+ of 1000 toys by ") as caught:
            run(slow_study(), 1000, rng=5, executor=Closing(), path=folder, flush_seconds=0)
    assert 0 < len(caught.value.table) < 1000
    assert same_bits(load_toys(folder), caught.value.table)


@pytest.mark.slow
@pytest.mark.parametrize("function", [lambda index, rng: rng.normal(), None])
def test_a_function_that_cannot_be_sent_is_refused(pool, function):
    """The error says what to do."""

    def local(index, rng):
        return rng.normal()

    with pytest.raises(InputError, match=r"^study: cannot be sent .*top level of a module"):
        run(FunctionStudy(function or local, [("z", float)]), 50, rng=5, executor=pool)


@pytest.mark.slow
def test_exceptions_in_other_processes_are_failed_toys(pool):
    """As they are in this one."""
    study = FunctionStudy(moody, [("z", float)])
    assert same_bits(run(study, 50, rng=5, executor=pool), run(study, 50, rng=5))


class _Elsewhere:
    """An executor whose worker is another machine, as far as the engine can tell."""

    def submit(self, function, *arguments):
        records, here = function(*arguments)
        future = Future()
        future.set_result((records, {**here, "cpu": "abacus"}))
        return future


@pytest.mark.parametrize("in_folder", [True, False])
def test_a_worker_that_differs_is_told_of_once(caplog, tmp_path, in_folder):
    """And listed."""
    path = tmp_path if in_folder else None
    with caplog.at_level(logging.WARNING, "hepstat.toys"):
        table = run(plain_study(), 100, rng=5, executor=_Elsewhere(), path=path)
    assert caplog.messages == ["a worker differs, and so may the last bits of its toys: cpu abacus"]
    assert [place["cpu"] for place in table.environments] == [environment()["cpu"], "abacus"]
    if in_folder:
        assert load_toys(tmp_path).environments == table.environments


@pytest.mark.slow
def test_mpi_changes_no_bit(tmp_path):
    """With mpi4py, where MPI is installed."""
    launcher = shutil.which("mpiexec")
    probe = [sys.executable, "-c", "from mpi4py import MPI"]
    if launcher is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("there is no MPI")
    script, out = tmp_path / "script.py", tmp_path / "out.npy"
    script.write_text(MPI_SCRIPT)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script), str(out)]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "PYTHONPATH": path})
    assert np.load(out).tobytes() == all_records(run(plain_study(), 200, rng=5)).tobytes()
