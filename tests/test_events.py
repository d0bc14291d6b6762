"""Reading of event files: every kind gives the same numbers, every fault one clear error."""

import builtins
import hashlib

import numpy as np
import pytest

from hepstat.errors import InputError, MissingDependency
from hepstat.events import describe_file, read_column, read_columns

M = np.array([91.2, 88.0, 125.5])
W = np.array([1.0, -0.5, 2.0])


def _write_csv(path):
    path.write_text("run,M,w\n" + "".join(f"7,{m!r},{w!r}\n" for m, w in zip(M.tolist(), W.tolist(), strict=True)))


def _write_npz(path):
    np.savez(path, M=M, w=W, run=np.array([7, 7, 7]))


def _write_npy(path):
    table = np.zeros(3, dtype=[("run", "i8"), ("M", "f8"), ("w", "f8")])
    table["M"], table["w"] = M, W
    np.save(path, table)


def _write_parquet(path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"M": M, "w": W, "kind": ["a", "b", "c"]}), path)


def _write_root(path, trees=("events",)):
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(path) as file:
        for i, tree in enumerate(trees):
            file.mktree(tree, {"M": "float64", "w": "float64"})
            file[tree].extend({"M": M + i, "w": W})


WRITERS = {"csv": _write_csv, "npz": _write_npz, "npy": _write_npy, "parquet": _write_parquet, "root": _write_root}


@pytest.mark.parametrize("ending", WRITERS)
def test_all_kinds_of_file(tmp_path, ending):
    """Every kind of file gives the same float64 columns."""
    path = tmp_path / f"events.{ending}"
    WRITERS[ending](path)
    weights, masses = read_columns(path, ["w", "M"])
    np.testing.assert_array_equal(masses, M)
    np.testing.assert_array_equal(weights, W)
    assert masses.dtype == np.float64
    assert masses.flags.c_contiguous
    assert read_column(str(path), "M").tolist() == M.tolist()


@pytest.mark.parametrize("ending", WRITERS)
def test_missing_column_names_what_there_is(tmp_path, ending):
    """The error lists the columns and the likely one."""
    path = tmp_path / f"events.{ending}"
    WRITERS[ending](path)
    with pytest.raises(InputError, match=r"column: 'm' is not in .*'M'.*Did you mean 'M'"):
        read_column(path, "m")
    with pytest.raises(InputError, match=r"is not given.*'M'.*Name one of them"):
        read_column(path)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("M\n1\n2\n", None, [1, 2]),
        ("1.5\n2.5\n", None, [1.5, 2.5]),
        ("1 2\n3 4\n", "1", [2, 4]),
        ("\ufeffM;w\r\n1;2\r\n3;4\r\n", "M", [1, 3]),
        ("\n\nM\tw\n\n1\t2\n\n3\t4\n", "w", [2, 4]),
        ('"M","the ""best"" name"\n"1",2\n 3 , 4\n', "M", [1, 3]),
        ("M,comment\n1,# not a comment\n2,\n", "M", [1, 2]),
        ("M w\n1e2  -3\n 4   5", "M", [100, 4]),
        ("M,M\n1,2", "M", [1]),
    ],
)
def test_dialects_of_csv(tmp_path, text, column, expected):
    """Separators, quotes, byte-order marks, blank lines, no header."""
    path = tmp_path / "events.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_column(path, column).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty \(0 bytes\)"),
        ("\n \n", "only blank lines"),
        ("M,w\n", "has no events"),
        ("M,w\n1,2\n\nabc,4\n", r"line 4 of .* has 'abc' in column 'M', not a number"),
        ("M,w\n1,2\n,4\n", r"line 3 of .* lacks column 'M'"),
        ("M,w\n1,2\n3\n", r"column: 'w'|line 3 of .* ends before column 'w'"),
        ("M,w\n1,nan\n\n1,2\n2,inf\n", r"'w' of .* has 1 NaN and 1 infinite entries of 3, the first in line 2"),
        ("M,w\n1,2\n\n\n1,-inf\n", r"the first in line 5"),
        ("M,w\n1,1_000\n", "cannot be read"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    """Each fault is one error with the line."""
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_columns(path, ["M", "w"])


def test_unnamed_columns_of_arrays(tmp_path):
    """Columns without a name go by their position."""
    np.save(tmp_path / "one.npy", np.arange(3, dtype=np.int32))
    np.save(tmp_path / "two.npy", np.arange(6.0).reshape(3, 2))
    assert read_column(tmp_path / "one.npy").tolist() == [0, 1, 2]
    assert read_column(tmp_path / "two.npy", "1").tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.array(["a", "b"]), "not numbers"),
        (np.array([1 + 1j]), "not numbers"),
        (np.array([]), "has no events"),
        (np.array([0.0, 1.0, np.nan]), "1 NaN and 0 infinite entries of 3, the first in entry 2"),
        (np.array([{"a": 1}], dtype=object), "cannot be read"),
    ],
)
def test_bad_arrays(tmp_path, array, message):
    """Arrays that are no columns of numbers are refused."""
    np.save(tmp_path / "events.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_column(tmp_path / "events.npy")


@pytest.mark.parametrize("ending", ["npy", "npz", "parquet", "root"])
def test_broken_files(tmp_path, ending):
    """A reader that fails is no traceback."""
    path = tmp_path / f"events.{ending}"
    path.write_bytes(b"this is no such file at all" * 10)
    with pytest.raises(InputError, match="cannot be read"):
        read_column(path, "M")


def test_binary_in_csv(tmp_path):
    """Bytes that are no text are refused."""
    (tmp_path / "events.csv").write_bytes(b"M\n\xff\xfe\x00\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_column(tmp_path / "events.csv", "M")


def test_files_that_are_not_there(tmp_path):
    """Missing files, folders and unknown endings."""
    with pytest.raises(InputError, match="does not exist"):
        read_column(tmp_path / "events.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_column(tmp_path / "folder.csv")
    with pytest.raises(InputError, match=r"not a known kind of file.*\.parquet"):
        read_column(tmp_path / "events.xlsx")


def test_text_columns(tmp_path):
    """A column of text in Parquet is refused."""
    path = tmp_path / "events.parquet"
    _write_parquet(path)
    with pytest.raises(InputError, match="not numbers"):
        read_column(path, "kind")


def test_trees_of_root(tmp_path):
    """The tree of a ROOT file may follow its name."""
    path = tmp_path / "events.root"
    _write_root(path, ("one", "two"))
    assert read_column(f"{path}:two", "M").tolist() == (M + 1).tolist()
    with pytest.raises(InputError, match="has the trees 'one', 'two'"):
        read_column(path, "M")
    with pytest.raises(InputError, match="no tree 'three', only 'one', 'two'"):
        read_column(f"{path}:three", "M")


def test_root_without_trees(tmp_path):
    """A ROOT file of histograms has no events."""
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(tmp_path / "events.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    with pytest.raises(InputError, match="has the trees none"):
        read_column(tmp_path / "events.root", "M")


@pytest.mark.parametrize(("ending", "package"), [("parquet", "pyarrow"), ("root", "uproot")])
def test_optional_packages(tmp_path, monkeypatch, ending, package):
    """The error names the extra that installs the reader."""
    path = tmp_path / f"events.{ending}"
    path.write_bytes(b"x")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=rf"{package}.*hepstat\[io\]"):
        read_column(path, "M")


def test_real_events(real_data):
    """The dimuon file is read completely."""
    masses = read_column(real_data / "peakdata3.csv", "M")
    assert masses.size == 19519
    assert masses.min() > 9.0
    assert masses.max() < 9.7


def test_a_file_is_described(tmp_path):
    """By name, size and hash; the name of a tree is left out."""
    path = tmp_path / "events.root"
    path.write_bytes(b"abc")
    wanted = {"file": "events.root", "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert describe_file(path) == describe_file(f"{path}:tree") == wanted
    with pytest.raises(InputError, match="cannot be read"):
        describe_file(tmp_path / "nothing.csv")
