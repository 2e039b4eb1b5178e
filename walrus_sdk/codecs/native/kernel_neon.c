/* AArch64: NEON is always there. Hashing is that of the portable kernel, whose vectors are NEON's; products by byte
   shuffles, as with AVX2. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernel.h"

#define NAME(what) what##_neon

struct multiplier_neon {
    uint8x16_t low[4], high[4]; /* low and high bytes of the products of each digit */
};

static inline struct multiplier_neon multiplier_load_neon(const uint8_t *factor)
{
    struct multiplier_neon multiplier;
    for (int digit = 0; digit < 4; digit++) {
        multiplier.low[digit] = vld1q_u8(factor + 16 * digit);
        multiplier.high[digit] = vld1q_u8(factor + 64 + 16 * digit);
    }
    return multiplier;
}

static inline void multiply_add_neon(const struct multiplier_neon *by, const uint8_t *from, uint8_t *to)
{
    for (int part = 0; part < 32; part += 16) {
        uint8x16_t x = vld1q_u8(from + part), y = vld1q_u8(from + 32 + part), fifteen = vdupq_n_u8(15);
        uint8x16_t digits[4] = {vandq_u8(x, fifteen), vshrq_n_u8(x, 4), vandq_u8(y, fifteen), vshrq_n_u8(y, 4)};
        uint8x16_t low = vld1q_u8(to + part), high = vld1q_u8(to + 32 + part);
        for (int digit = 0; digit < 4; digit++) {
            low = veorq_u8(low, vqtbl1q_u8(by->low[digit], digits[digit]));
            high = veorq_u8(high, vqtbl1q_u8(by->high[digit], digits[digit]));
        }
        vst1q_u8(to + part, low);
        vst1q_u8(to + 32 + part, high);
    }
}
#include "transform.h"

const struct coder coder_neon = {factor_by_digits, fft_neon, inverse_fft_neon};
#else
typedef int nothing_here; /* a translation unit is never empty */
#endif
