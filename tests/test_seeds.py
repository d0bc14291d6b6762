"""Seeds: what is taken, what is refused, and that toys can be replayed."""

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.kernels import philox
from hepstat.seeds import lasting_seed, stream_key, toy_generator


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**200, np.int64(7), np.uint8(3)])
def test_a_whole_number_gives_numpys_key(seed):
    """The key of a seed is that of numpy.random.Philox with the same seed."""
    key = stream_key(seed)
    assert all(type(word) is np.uint64 for word in key)
    np.testing.assert_array_equal(key, np.random.Philox(int(seed)).state["state"]["key"])
    assert key == stream_key(np.random.SeedSequence(int(seed)))


def test_a_seed_sequence_is_not_used_up():
    """The same sequence gives the same key again, and its children others."""
    sequence = np.random.SeedSequence(5)
    assert stream_key(sequence) == stream_key(sequence)
    assert len({stream_key(s) for s in [sequence, *sequence.spawn(5)]}) == 6


def test_a_generator_draws_its_key():
    """Equal generators give equal keys; the same one gives a new key each time."""
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    first = stream_key(one)
    assert first == stream_key(other)
    assert first != stream_key(one)


@pytest.mark.parametrize(
    "rng", [None, -1, 1.0, True, "1", [1], np.array(1), np.random.RandomState(1), np.random.PCG64(1), np.int64(-3)]
)
def test_anything_else_is_refused(rng):
    """The error names the argument, shows the value and says what to pass."""
    with pytest.raises(InputError, match=r"^seed: is .*Pass a whole number >= 0"):
        stream_key(rng, "seed")


@pytest.mark.parametrize("index", [0, 1, 2**63, 2**64 - 1, np.uint64(2**64 - 1)])
def test_a_toy_is_replayed(index):
    """The generator of a toy has the bits of its compiled stream."""
    key = stream_key(3)
    state = philox.stream(*key, np.uint64(index))
    ours = [philox.next_uniform(state) for _ in range(9)]
    np.testing.assert_array_equal(ours, toy_generator(key, index).random(9))


@pytest.mark.parametrize("index", [-1, 2**64, 1.5, True, None])
def test_a_toy_must_have_a_number(index):
    """Only numbers of toys are taken."""
    with pytest.raises(InputError, match=r"^index: is "):
        toy_generator(stream_key(3), index)


def test_neighbouring_toys_and_seeds_share_nothing():
    """Streams of neighbouring seeds and toys are uncorrelated: |r| below 5 sigma for 2000 numbers."""
    draws = [toy_generator(stream_key(seed), toy).random(2000) for seed in range(4) for toy in range(4)]
    correlation = np.corrcoef(draws)[np.triu_indices(16, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_a_seed_drawn_from_a_generator_lasts():
    """It gives the same key again, that of earlier versions, and the generator moves on."""
    generator = toy_generator(stream_key(7), 1)
    seed = lasting_seed(generator)
    assert seed.entropy == [2971645949, 3127302554, 2287501546, 1819807851]
    assert stream_key(seed) == stream_key(seed)
    assert stream_key(seed) != stream_key(lasting_seed(generator))
