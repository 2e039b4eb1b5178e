#include "kernel.h"

void factor_by_digits(const uint16_t products[16], uint8_t *factor)
{
    for (int digit = 0; digit < 4; digit++)
        for (int value = 0; value < 16; value++) {
            uint16_t product = 0;
            for (int bit = 0; bit < 4; bit++)
                if (value >> bit & 1)
                    product ^= products[4 * digit + bit];
            factor[16 * digit + value] = (uint8_t)product;
            factor[64 + 16 * digit + value] = (uint8_t)(product >> 8);
        }
}

static int always(void)
{
    return 1;
}

#if defined(__x86_64__)
static int avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static int avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static int gfni(void)
{
    return avx512() && __builtin_cpu_supports("gfni");
}
#endif

const struct kernel kernels[] = {
#if defined(__x86_64__)
    {"avx512-gfni", gfni, &hasher_avx512, &coder_gfni},
    {"avx512", avx512, &hasher_avx512, &coder_avx2},
    {"avx2", avx2, &hasher_avx2, &coder_avx2},
#endif
#if defined(__aarch64__)
    {"neon", always, &hasher_portable, &coder_neon},
#endif
    {"portable", always, &hasher_portable, &coder_portable},
    {0, 0, 0, 0},
};
