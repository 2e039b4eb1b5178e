"""Reed-Solomon over GF(2^16) as Walrus uses it (the Leopard FF16 code of the crate reed-solomon-simd 3), with numpy.

The field has the polynomial 0x1002D; elements are written in a Cantor basis, in which the additive FFT of Lin,
Chung and Han needs no other constants than the element's own number. The code is systematic and works lane by
lane: arrays here have shape ``(symbols, lanes)`` of uint16, and every lane is a code word of its own, so that one call
encodes a whole matrix. Source: docs/explanation/formats.md (RedStuff).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walrus_sdk.errors import CodecError

__all__ = ["check_code", "repair", "to_bytes", "to_elements"]

Elements: TypeAlias = NDArray[np.uint16]

_POLYNOMIAL = 0x1002D
_ORDER = 65535
_BASIS = (
    0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012,
    0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E,
)  # fmt: skip
_ZERO_LOG = 2 * _ORDER  # sums with it point into the zero tail of the exponent table
_TABLE_PAYS = 1 << 15  # elements of one butterfly block from which a table for its factor is faster


@cache
def _tables() -> tuple[NDArray[np.intp], Elements]:
    """Return (log, exp): ``exp[log[a] + log[b]]`` is a*b for all a, b, zero included; 1 MB, made in a few ms.

    Logarithms have the machine's index type: as look-ups they then need no conversion.
    """
    values = np.zeros(65536, dtype=np.uint32)
    for bit, base in enumerate(_BASIS):
        values[1 << bit : 2 << bit] = values[: 1 << bit] ^ base
    numbers = np.empty(65536, dtype=np.uint16)
    numbers[values] = np.arange(65536, dtype=np.uint16)
    powers = np.empty(_ORDER, dtype=np.uint32)
    power = 1
    for exponent in range(_ORDER):
        powers[exponent] = power
        power <<= 1
        if power & 0x10000:
            power ^= _POLYNOMIAL
    log_of_value = np.zeros(65536, dtype=np.intp)
    log_of_value[powers] = np.arange(_ORDER, dtype=np.intp)
    log = log_of_value[values]
    log[0] = _ZERO_LOG
    exp = np.zeros(2 * _ZERO_LOG + 1, dtype=np.uint16)
    exp[:_ORDER] = exp[_ORDER : 2 * _ORDER] = numbers[powers]
    return log, exp


def _multiply_into(low: Elements, high: Elements, offset: int, half: int, blocks: int) -> None:
    """Do ``low ^= factor * high`` for each butterfly block; the factor of block i is ``(offset + 2*half*i) // half``.

    A factor of zero (the first block at offset 0) needs nothing. Large blocks get a table of all 65,536 products of
    their factor: one look-up an element instead of two, which pays the table from about 32,000 elements on.
    """
    log, exp = _tables()
    first = 1 if offset == 0 else 0
    factors = log[(offset + np.arange(first, blocks, dtype=np.int64) * (2 * half)) // half]
    if low[0].size < _TABLE_PAYS:
        exponents = log[high[first:]]
        exponents += factors[:, None, None]
        low[first:] ^= exp.take(exponents)
        return
    for block, factor in enumerate(factors.tolist(), first):
        low[block] ^= exp.take(log + factor).take(high[block])


def _halves(block: Elements, half: int, used: int) -> tuple[Elements, Elements, int]:
    """Return lower and upper halves of the butterfly blocks that begin before `used`, and the number of them."""
    blocks = -(-used // (2 * half))
    view = block[: blocks * 2 * half].reshape(blocks, 2, half, block.shape[1])
    return view[:, 0], view[:, 1], blocks


def _fft(block: Elements, offset: int, wanted: int) -> None:
    """Evaluate, in place, the polynomial with these coefficients at points offset..offset+wanted-1.

    Rows from `wanted` on are left in between: what only they need is not computed.
    """
    half = block.shape[0] // 2
    while half:
        low, high, blocks = _halves(block, half, wanted)
        _multiply_into(low, high, offset, half, blocks)
        high ^= low
        half //= 2


def _inverse_fft(block: Elements, offset: int, used: int) -> None:
    """Turn, in place, values at points offset..offset+len-1 into the coefficients of their polynomial.

    Rows from `used` on must be zero: blocks of zeros stay zero and are left out.
    """
    half = 1
    while half < block.shape[0]:
        low, high, blocks = _halves(block, half, used)
        high ^= low
        _multiply_into(low, high, offset, half, blocks)
        half *= 2


def _padded(source: Elements, start: int, size: int) -> tuple[Elements, int]:
    """Return up to `size` rows from `start` on, filled up with zeros, and how many of them come from `source`."""
    block = np.zeros((size, source.shape[1]), dtype=np.uint16)
    part = source[start : start + size]
    block[: len(part)] = part
    return block, len(part)


def check_code(k: int, count: int) -> None:
    """Check that there is a code with `k` source symbols and `count` repair symbols.

    Raises `CodecError` ``malformed`` where the field has too few points: the smaller of k and count, rounded
    up to a power of two, plus the other one must not exceed 65,536.
    """
    k_size, count_size = 1 << (k - 1).bit_length(), 1 << max(count - 1, 0).bit_length()
    if count and (count_size + k if k_size > count_size else k_size + count) > 65536:
        raise CodecError("malformed", f"{k} symbols with {count} repair symbols are more than GF(2^16) has room for")


def repair(source: Elements, count: int) -> Elements:
    """Return `count` repair symbols for the source symbols, lane by lane.

    `source` has shape (k, lanes); the result has shape (count, lanes). Working memory is about four times
    the larger of the two, rounded up to a power of two in its first axis.
    Raises `CodecError` ``malformed``; see `check_code`.
    """
    k, lanes = source.shape
    check_code(k, count)
    if count == 0 or lanes == 0:
        return np.zeros((count, lanes), dtype=np.uint16)
    k_size, count_size = 1 << (k - 1).bit_length(), 1 << (count - 1).bit_length()
    high_rate = k_size > count_size
    return _high_rate(source, count, count_size) if high_rate else _low_rate(source, count, k_size)


def _high_rate(source: Elements, count: int, size: int) -> Elements:
    total = np.zeros((size, source.shape[1]), dtype=np.uint16)
    for start in range(0, source.shape[0], size):
        block, used = _padded(source, start, size)
        _inverse_fft(block, start + size, used)
        total ^= block
    _fft(total, 0, count)
    return total[:count]


def _low_rate(source: Elements, count: int, size: int) -> Elements:
    coefficients, used = _padded(source, 0, size)
    _inverse_fft(coefficients, 0, used)
    result = np.empty((count, source.shape[1]), dtype=np.uint16)
    for start in range(0, count, size):
        block = coefficients.copy()
        part = result[start : start + size]
        _fft(block, start + size, len(part))
        part[:] = block[: len(part)]
    return result


def to_elements(symbols: NDArray[np.uint8]) -> Elements:
    """Return symbols of shape (..., size) as elements of shape (..., size/2).

    Each full 64-byte block holds 32 elements, low bytes first, then high bytes; a shorter last block likewise halves.
    """
    size = symbols.shape[-1]
    full = size - size % 64
    result = np.empty((*symbols.shape[:-1], size // 2), dtype=np.uint16)
    for start, stop, half in ((0, full, 32), (full, size, (size - full) // 2)):
        if stop == start:
            continue
        # Sizes are written out: with no symbols at all numpy could not work out a -1.
        blocks = symbols[..., start:stop].reshape(*symbols.shape[:-1], (stop - start) // (2 * half), 2, half)
        joined = blocks[..., 0, :] | (blocks[..., 1, :].astype(np.uint16) << 8)
        result[..., start // 2 : stop // 2] = joined.reshape(*symbols.shape[:-1], (stop - start) // 2)
    return result


def to_bytes(elements: Elements) -> NDArray[np.uint8]:
    """Return elements of shape (..., m) as symbols of shape (..., 2m): the inverse of `to_elements`."""
    size = elements.shape[-1] * 2
    full = size - size % 64
    result = np.empty((*elements.shape[:-1], size), dtype=np.uint8)
    for start, stop, half in ((0, full, 32), (full, size, (size - full) // 2)):
        if stop == start:
            continue
        shape = (*elements.shape[:-1], (stop - start) // (2 * half), half)
        part = elements[..., start // 2 : stop // 2].reshape(shape)
        blocks = np.stack(((part & 0xFF).astype(np.uint8), (part >> 8).astype(np.uint8)), axis=-2)
        result[..., start:stop] = blocks.reshape(*elements.shape[:-1], stop - start)
    return result
