/* What every machine can do: 16-byte vectors, which x86-64 has as SSE2 and AArch64 as NEON (elsewhere the compiler
   takes plain registers), and look-ups in tables of 16 products for each of an element's four digits. */
#define LANES 2
#define NAME(what) what##_portable
#define ROR(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define ROR32(x) ROR(x, 32)
#define ROR24(x) ROR(x, 24)
#define ROR16(x) ROR(x, 16)
#define ROR63(x) ROR(x, 63)
#include "hashing.h"

struct multiplier_portable {
    uint16_t products[4][16];
};

static inline struct multiplier_portable multiplier_load_portable(const uint8_t *factor)
{
    struct multiplier_portable multiplier;
    memcpy(&multiplier, factor, sizeof multiplier);
    return multiplier;
}

static inline void multiply_add_portable(const struct multiplier_portable *by, const uint8_t *from, uint8_t *to)
{
    for (int i = 0; i < STRIP / 2; i++) {
        uint8_t low = from[i], high = from[i + STRIP / 2];
        uint16_t product = by->products[0][low & 15] ^ by->products[1][low >> 4] ^ by->products[2][high & 15] ^
                           by->products[3][high >> 4];
        to[i] ^= (uint8_t)product;
        to[i + STRIP / 2] ^= (uint8_t)(product >> 8);
    }
}
#include "transform.h"

static void factor_portable(const uint16_t products[16], uint8_t *factor)
{
    struct multiplier_portable multiplier = {{{0}}};
    for (int digit = 0; digit < 4; digit++)
        for (int value = 0; value < 16; value++)
            for (int bit = 0; bit < 4; bit++)
                if (value >> bit & 1)
                    multiplier.products[digit][value] ^= products[4 * digit + bit];
    memcpy(factor, &multiplier, sizeof multiplier);
}

const struct coder coder_portable = {factor_portable, fft_portable, inverse_fft_portable};
