/* x86-64 with AVX2: four lanes; products by byte shuffles, 16 products of each of an element's four digits in a register. */
#if defined(__x86_64__)
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define LANES 4
#define NAME(what) what##_avx2
/* Rotations by whole bytes are shuffles: one instruction where shifting takes three. */
#define BYTES(x, ...) ((vector_avx2)_mm256_shuffle_epi8((__m256i)(x), _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)))
#define ROR32(x) ((vector_avx2)_mm256_shuffle_epi32((__m256i)(x), 0xB1))
#define ROR24(x) BYTES(x, 3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10)
#define ROR16(x) BYTES(x, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9)
#define ROR63(x) ((x) >> 63 | ((x) + (x)))
#include "hashing.h"

struct multiplier_avx2 {
    __m256i low[4], high[4]; /* low and high bytes of the products of each digit */
};

static inline struct multiplier_avx2 multiplier_load_avx2(const uint8_t *factor)
{
    struct multiplier_avx2 multiplier;
    for (int digit = 0; digit < 4; digit++) {
        multiplier.low[digit] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(factor + 16 * digit)));
        multiplier.high[digit] =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(factor + 64 + 16 * digit)));
    }
    return multiplier;
}

static inline void multiply_add_avx2(const struct multiplier_avx2 *by, const uint8_t *from, uint8_t *to)
{
    __m256i fifteen = _mm256_set1_epi8(15);
    __m256i digits[4], low = _mm256_loadu_si256((const __m256i *)to), high = _mm256_loadu_si256((const __m256i *)to + 1);
    for (int byte = 0; byte < 2; byte++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)from + byte);
        digits[2 * byte] = _mm256_and_si256(x, fifteen);
        digits[2 * byte + 1] = _mm256_and_si256(_mm256_srli_epi64(x, 4), fifteen);
    }
    for (int digit = 0; digit < 4; digit++) {
        low = _mm256_xor_si256(low, _mm256_shuffle_epi8(by->low[digit], digits[digit]));
        high = _mm256_xor_si256(high, _mm256_shuffle_epi8(by->high[digit], digits[digit]));
    }
    _mm256_storeu_si256((__m256i *)to, low);
    _mm256_storeu_si256((__m256i *)to + 1, high);
}
#include "transform.h"

const struct coder coder_avx2 = {factor_by_digits, fft_avx2, inverse_fft_avx2};

#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int nothing_here; /* a translation unit is never empty */
#endif
