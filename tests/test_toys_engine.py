"""Studies, tables and the engine in one process: bits, failures, replay, resuming, merging, interruptions."""

import io
import logging
import pickle
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from toy_studies import FIELDS, all_records, compiled_study, count, fill, moody, plain_study, same_bits, search_study

from hepstat import execution, seeds
from hepstat.digest import code_digest
from hepstat.errors import InputError, ToyError
from hepstat.kernels import philox, random
from hepstat.toys import RAISED, BlockStudy, FunctionStudy, merge_toys, run

STUDIES = [plain_study, compiled_study, search_study]


@pytest.fixture(scope="module")
def thrown():
    """Return 300 toys of each study."""
    return {make: run(make(), 300, rng=5) for make in STUDIES}


@pytest.mark.parametrize("make", STUDIES)
@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (1, 300), (2, 7), (4, 64), (4, None)])
def test_blocks_and_threads_change_no_bit(thrown, make, workers, chunk):
    """Records depend on study, key and number only."""
    assert same_bits(run(make(), 300, rng=5, workers=workers, chunk=chunk), thrown[make])


@pytest.mark.parametrize("make", STUDIES)
def test_toys_start_where_asked(thrown, make):
    """Toys 100 to 150 of a run are those of any other."""
    table = run(make(), 50, rng=5, first=100)
    assert all_records(table).tobytes() == all_records(thrown[make])[100:150].tobytes()
    np.testing.assert_array_equal(table.indices, np.arange(100, 150))


def test_streams_are_those_of_the_seed(thrown):
    """A toy gets numpy's generator of its number, or the compiled one with the same bits."""
    key = seeds.stream_key(5)
    assert thrown[plain_study]["n"][17] == seeds.toy_generator(key, 17).poisson(3.0)
    assert thrown[compiled_study]["z"][17] == random.normal(philox.stream(*key, np.uint64(17)))


def test_columns(thrown):
    """A column is an array of its own, in the order of the toys; others are refused."""
    table = thrown[plain_study]
    assert len(table) == 300
    assert table.complete
    assert table["z"].dtype == np.float64
    assert table["z"].flags.c_contiguous
    np.testing.assert_array_equal(table.ok, table.status == 0)
    np.testing.assert_array_equal(table["n"] > 6, ~table.ok)
    with pytest.raises(InputError, match="Choose from status, z, n"):
        table["q"]
    ((first, records),) = table.blocks()
    assert first == 0
    with pytest.raises(ValueError, match="read-only"):
        records["z"] = 0.0


def test_failures_are_counted_by_reason(thrown):
    """Failed toys are kept, with their numbers."""
    table = thrown[plain_study]
    failed = table.failures()
    assert list(failed) == ["too many events"]
    np.testing.assert_array_equal(failed["too many events"], np.flatnonzero(table["n"] > 6))
    assert table.n_failed == len(failed["too many events"]) > 0
    assert f"{table.n_failed} failed ({table.n_failed} too many events (toys {failed['too many events'][0]}" in repr(
        table
    )


def test_a_bound_on_failures(thrown):
    """`require` gives the table or says what failed; `max_failed` does it at the end of a run, which keeps its toys."""
    table = thrown[plain_study]
    assert table.require(0.2) is table
    with pytest.raises(
        ToyError, match=r"of 300 toys failed, more than 0.001 of them: \d+ too many events \(toys \d+, "
    ):
        table.require(0.001)
    with pytest.raises(ToyError) as caught:
        run(plain_study(), 300, rng=5, max_failed=0)
    assert same_bits(caught.value.table, table)
    assert run(plain_study(), 300, rng=5, max_failed=0.2).complete


def test_an_exception_is_a_failed_toy(caplog):
    """It leaves NaN, is logged once, and comes again in a replay."""
    study = FunctionStudy(moody, [("z", float)])
    with caplog.at_level(logging.WARNING, "hepstat.toys"):
        table = run(study, 50, rng=np.random.SeedSequence(8), chunk=4)
    assert caplog.messages == ["toy 3 of moody raised ValueError: no luck with 3"]
    np.testing.assert_array_equal(table.indices[table.status == RAISED], [3, 13, 23, 33, 43])
    assert np.isnan(table["z"][~table.ok]).all()
    assert list(table.failures()) == ["the function raised an exception"]
    with pytest.raises(ValueError, match="no luck with 23"):
        table.replay(23)


@pytest.mark.parametrize("make", STUDIES)
def test_any_toy_can_be_thrown_again(thrown, make):
    """Also one that is not in the table."""
    table = thrown[make]
    for index in (0, 137, 299):
        assert table.replay(index) == all_records(table)[index]
    assert table.replay(1000) == all_records(run(make(), 1, rng=5, first=1000))[0]
    with pytest.raises(InputError, match="index"):
        table.replay(-1)


def _interrupt_at(index, rng, at):
    if index == at:
        signal.raise_signal(signal.SIGINT)
    return count(index, rng)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_gives_what_is_finished(thrown, caplog, workers):
    """And can be resumed in memory, to the same bits."""
    part = run(FunctionStudy(partial(_interrupt_at, at=250), FIELDS), 300, rng=5, workers=workers)
    assert not part.complete
    assert 0 < len(part) < 300
    assert "incomplete, 300 wanted" in repr(part)
    assert caplog.messages[-1] == f"interrupted: {len(part)} of 300 toys are finished"
    np.testing.assert_array_equal(part["z"], thrown[plain_study]["z"][: len(part)])
    run(plain_study(), 5, rng=5)  # threads still work


def test_resuming_in_memory(thrown):
    """Toys that are there are not thrown again, wherever they are in the range."""
    first, later = run(plain_study(), 100, rng=5), run(plain_study(), 30, rng=5, first=150)
    for there in (first, later, merge_toys(first, later)):
        assert same_bits(run(plain_study(), 300, rng=5, resume=there), thrown[plain_study])
    assert same_bits(
        run(plain_study(), 40, rng=5, resume=thrown[plain_study], first=20), run(plain_study(), 40, rng=5, first=20)
    )

    def never(index, rng):
        raise AssertionError

    study = FunctionStudy(never, FIELDS)
    study.describe = plain_study().describe
    assert run(study, 300, rng=5, resume=thrown[plain_study]).n_failed == thrown[plain_study].n_failed


def test_resuming_other_toys_is_refused(thrown):
    """The error shows what differs."""
    with pytest.raises(InputError, match=r"resume: does not match:\n  config\.config\.mu: None != 3"):
        run(plain_study(config={"mu": 3}), 5, rng=5, resume=thrown[plain_study])
    with pytest.raises(InputError, match=r"\n  key: '[0-9a-f]{32}' != "):
        run(plain_study(), 5, rng=6, resume=thrown[plain_study])


def test_merging(thrown):
    """Disjoint toys of one study and key; the gap between them is missing."""
    parts = [run(plain_study(), 100, rng=5, first=first) for first in (200, 0, 100)]
    assert same_bits(merge_toys(*parts), thrown[plain_study])
    assert merge_toys(*parts).complete
    assert not merge_toys(*parts[:2]).complete
    with pytest.raises(InputError, match="hold toys 100 to 199 twice"):
        merge_toys(thrown[plain_study], parts[2])
    with pytest.raises(InputError, match=r"config\.name: 'count' != 'fill'"):
        merge_toys(parts[0], thrown[compiled_study])
    with pytest.raises(InputError, match="not tables"):
        merge_toys()


def test_no_toys():
    """None asked for, none there."""
    table = run(plain_study(), 0, rng=5)
    assert len(table) == 0
    assert table.complete
    assert table["z"].shape == table.indices.shape == (0,)
    assert table.failures() == {}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n", -1),
        ("n", 1.5),
        ("n", 2**53 + 2),
        ("rng", None),
        ("first", -1),
        ("workers", 0),
        ("chunk", 0),
        ("max_failed", 1.5),
        ("flush_seconds", "soon"),
        ("study", count),
    ],
)
def test_bad_arguments_of_a_run(argument, value):
    """The error names the argument."""
    arguments = {"study": plain_study(), "n": 10, "rng": 1, argument: value}
    with pytest.raises(InputError, match=rf"^{argument}: "):
        run(arguments.pop("study"), arguments.pop("n"), **arguments)


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("function", {"function": 3}),
        ("fields", {"fields": float}),
        ("fields", {"fields": [("z", object)]}),
        ("fields", {"fields": [("status", float)]}),
        ("fields", {"fields": "what"}),
        ("config", {"config": {"a": object()}}),
        ("reasons", {"reasons": {0: "fine"}}),
        ("chunk", {"chunk": 0}),
    ],
)
@pytest.mark.parametrize("kind", [FunctionStudy, BlockStudy])
def test_bad_arguments_of_a_study(kind, argument, changes):
    """The error names the argument."""
    arguments = {"function": count, "fields": FIELDS, **changes}
    with pytest.raises(InputError, match=rf"^{argument}: "):
        kind(**arguments)


@pytest.mark.parametrize("value", [(1.0,), (1.0, 2, 3), {"z": 1.0}, {"z": 1.0, "n": 2, "q": 3}, ("one", 2), None])
def test_a_function_that_returns_something_else_ends_the_run(value):
    """It is not a failed toy, but a mistake."""
    with pytest.raises(InputError, match=r"^function: returned .*Return a mapping"):
        run(FunctionStudy(lambda index, rng: value, FIELDS), 5, rng=1)


@pytest.mark.parametrize(
    ("fields", "value", "expected"),
    [
        ([("z", float)], 2.5, (0, 2.5)),
        ([("h", float, (3,))], np.arange(3.0), (0, [0.0, 1.0, 2.0])),
        ([("z", float), ("status", int)], (2.5, 4), (2.5, 4)),
        ([("z", float), ("n", int)], {"n": 1, "z": 2.0}, (0, 2.0, 1)),
    ],
)
def test_what_a_function_may_return(fields, value, expected):
    """One value, a tuple in the order of the fields, a mapping."""
    record = all_records(run(FunctionStudy(lambda index, rng: value, fields), 2, rng=1))[1]
    for entry, wanted in zip(record.item(), expected, strict=True):
        np.testing.assert_array_equal(entry, wanted)


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor])
def test_a_block_that_raises_ends_the_run_with_what_is_finished(executor):
    """The reason is the cause of the error."""

    def fill_until(key0, key1, first, out):
        if first >= 64:
            raise ZeroDivisionError("by zero")
        out["z"] = np.arange(first, first + len(out))

    pool = executor and executor(2)
    with pytest.raises(ToyError, match="after 64 of 100 toys by ZeroDivisionError: by zero") as caught:
        run(BlockStudy(fill_until, [("z", float)], chunk=32), 100, rng=1, executor=pool)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    np.testing.assert_array_equal(caught.value.table["z"], np.arange(64))
    if pool:
        pool.shutdown()


def _make(mu, scale=1.0):
    def toy(index, rng, shift=0.0):
        return rng.poisson(mu) * scale + shift

    return toy


def test_an_edited_function_has_another_digest():
    """So has one with other constants, defaults, closures or arrays; where it stands in the file does not matter."""
    sources = ["rng.normal()", "rng.normal() + 1", "rng.poisson()", "[x + 1 for x in y]", "[x + 2 for x in y]"]
    functions = [eval(f"lambda index, rng: {source}") for source in sources]
    functions += [_make(1), _make(2), _make(1, 2.0), _make(np.arange(3)), _make(np.arange(4)), _make(_make(1))]
    functions += [partial(count, a) for a in (1, 2)]
    digests = [code_digest(function) for function in functions]
    assert len(set(digests)) == len(functions)
    assert code_digest(eval("\n\nlambda index, rng: rng.normal()".strip())) == digests[0]
    assert code_digest(_make(1)) == digests[5]
    assert code_digest(fill) == code_digest(fill.py_func)


def test_studies_and_tables_can_be_pickled(thrown):
    """Tables can be sent back from elsewhere."""
    study = pickle.loads(pickle.dumps(compiled_study()))
    assert study.describe() == compiled_study().describe()
    assert study.function is fill  # not sent as source, to be compiled again
    assert same_bits(pickle.loads(pickle.dumps(thrown[compiled_study])), thrown[compiled_study])


def test_the_log_tells_how_much_is_done(caplog):
    """At the start and at the end."""
    with caplog.at_level(logging.INFO, "hepstat.toys"):
        run(plain_study(), 20, rng=5, resume=run(plain_study(), 5, rng=5))
    assert caplog.messages[-2] == "20 toys of count, 5 of them already there"
    assert caplog.messages[-1].startswith("threw 15 toys in ")


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_counts_toys(monkeypatch):
    """With their rate, in thousands, whatever the blocks; toys that are there already do not count."""
    out = _Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(execution, "_QUIET_SECONDS", 0.0)
    run(compiled_study(), 12_000, rng=5, progress="counting", resume=run(compiled_study(), 2_000, rng=5))
    assert "counting" in out.getvalue()
    assert "/10.0k [" in out.getvalue()
    assert "toys/s]" in out.getvalue()
