/* x86-64 with AVX-512: eight lanes, and rotations in one instruction; with GFNI a product is four 8 x 8 bit matrices. */
#if defined(__x86_64__)
#include <immintrin.h>

/* Hashing is also used where there is no GFNI, so that the compiler must not think of it there. */
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define LANES 8
#define NAME(what) what##_avx512
#define ROR32(x) ((vector_avx512)_mm512_ror_epi64((__m512i)(x), 32))
#define ROR24(x) ((vector_avx512)_mm512_ror_epi64((__m512i)(x), 24))
#define ROR16(x) ((vector_avx512)_mm512_ror_epi64((__m512i)(x), 16))
#define ROR63(x) ((vector_avx512)_mm512_ror_epi64((__m512i)(x), 63))
#include "hashing.h"

#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,gfni"))), apply_to = function)
#else
#pragma GCC target("gfni")
#endif

/* From a strip, low bytes then high ones: low to low and high to high bytes of the product; `cross` is applied to the
   strip with its halves exchanged. */
struct multiplier_avx512 {
    __m512i straight, cross;
};

static inline struct multiplier_avx512 multiplier_load_avx512(const uint8_t *factor)
{
    return (struct multiplier_avx512){_mm512_loadu_si512(factor), _mm512_loadu_si512(factor + 64)};
}

static inline void multiply_add_avx512(const struct multiplier_avx512 *by, const uint8_t *from, uint8_t *to)
{
    __m512i x = _mm512_loadu_si512(from), y = _mm512_shuffle_i64x2(x, x, 0x4E);
    __m512i a = _mm512_gf2p8affine_epi64_epi8(x, by->straight, 0), b = _mm512_gf2p8affine_epi64_epi8(y, by->cross, 0);
    _mm512_storeu_si512(to, _mm512_ternarylogic_epi64(_mm512_loadu_si512(to), a, b, 0x96));
}
#include "transform.h"

/* The matrix from byte `in` of an element to byte `out` of its product: the instruction wants the row of bit 7 first. */
static void matrix(const uint16_t products[16], int out, int in, uint8_t rows[8])
{
    for (int bit = 0; bit < 8; bit++) {
        unsigned row = 0;
        for (int from = 0; from < 8; from++)
            row |= (products[8 * in + from] >> (8 * out + bit) & 1u) << from;
        rows[7 - bit] = (uint8_t)row;
    }
}

static void factor_gfni(const uint16_t products[16], uint8_t *factor)
{
    for (int part = 0; part < 4; part++) { /* straight low, straight high, cross low, cross high */
        int out = part & 1, in = out ^ (part >> 1);
        for (int copy = 0; copy < 4; copy++)
            matrix(products, out, in, factor + 32 * part + 8 * copy);
    }
}

const struct coder coder_gfni = {factor_gfni, fft_avx512, inverse_fft_avx512};

#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int nothing_here; /* a translation unit is never empty */
#endif
