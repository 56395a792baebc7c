"""Inputs from an integer hash, so that golden files need not hold them: the C tests have the same lines. And digests."""
import hashlib

import numpy as np

f32 = np.float32


def lowbias(seed, n):
    """Wellons' lowbias32 of a counter: n values of 32 bits."""
    x = (np.arange(n, dtype=np.uint64) * 0x85EBCA77 + seed * 0x9E3779B1).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def hashed(seed, n):
    """n values in [-1, 1) with 24 bits."""
    return ((lowbias(seed, n) >> np.uint32(8)).astype(f32) * f32(2.0**-23) - f32(1)).astype(f32)


def normal(seed, n):
    """The sum of four such, narrow: like weights."""
    return ((hashed(seed, n) + hashed(seed + 1, n)) + (hashed(seed + 2, n) + hashed(seed + 3, n))) * f32(0.02)


def sha(t):
    return hashlib.sha256(np.ascontiguousarray(t).tobytes()).hexdigest()
