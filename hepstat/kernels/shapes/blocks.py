"""Blocks of points for shape kernels with many planes.

LLVM packs a loop only when it knows that its arrays do not overlap. Planes of the output lie a run-time distance apart,
and beyond a few of them it gives up checking. Such kernels work on one scratch array in which slot k starts at
``k * BLOCK``, a distance known when compiling, and hand its first slots out as the planes of the output.
"""

from typing import Any

from hepstat.kernels.options import inlined

__all__ = ["BLOCK", "hand_out"]

BLOCK = 64  # points at a time: 30 slots are 15 KiB and stay in the first-level cache


@inlined
def hand_out(s: Any, at: int, count: int, out: Any) -> None:
    """Copy a block of slots to the planes of the output, from point `at` on."""
    for k in range(out.shape[0]):
        start = k * BLOCK
        for i in range(count):
            out[k, at + i] = s[start + i]
