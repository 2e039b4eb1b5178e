/* The additive FFT of Lin, Chung and Han over GF(2^16) in a Cantor basis, on arrays of strips: included by each
   instruction set, which defines NAME, struct NAME(multiplier), NAME(multiplier_load) and NAME(multiply_add). The factor
   of the butterflies of a block is the number of its first point over half the block's size; a zero needs no product. */

#include "kernel.h"

static inline void NAME(add)(uint8_t *to, const uint8_t *from)
{
    for (int i = 0; i < STRIP; i++)
        to[i] ^= from[i];
}

static void NAME(fft)(uint8_t *strips, size_t size, size_t offset, size_t wanted, const uint8_t *factors)
{
    for (size_t half = size / 2; half; half /= 2)
        for (size_t start = 0; start < wanted; start += 2 * half) {
            size_t factor = (offset + start) / half;
            uint8_t *low = strips + start * STRIP, *high = low + half * STRIP;
            struct NAME(multiplier) multiplier = NAME(multiplier_load)(factors + factor * FACTOR_SIZE);
            for (size_t i = 0; i < half * STRIP; i += STRIP) {
                if (factor)
                    NAME(multiply_add)(&multiplier, high + i, low + i);
                NAME(add)(high + i, low + i);
            }
        }
}

static void NAME(inverse_fft)(uint8_t *strips, size_t size, size_t offset, size_t used, const uint8_t *factors)
{
    for (size_t half = 1; half < size; half *= 2)
        for (size_t start = 0; start < used; start += 2 * half) {
            size_t factor = (offset + start) / half;
            uint8_t *low = strips + start * STRIP, *high = low + half * STRIP;
            struct NAME(multiplier) multiplier = NAME(multiplier_load)(factors + factor * FACTOR_SIZE);
            for (size_t i = 0; i < half * STRIP; i += STRIP) {
                NAME(add)(high + i, low + i);
                if (factor)
                    NAME(multiply_add)(&multiplier, high + i, low + i);
            }
        }
}
