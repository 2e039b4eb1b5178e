#include "field.h"

enum { POLYNOMIAL = 0x1002D, ORDER = 65535 };

static const uint16_t basis[16] = {
    0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012,
    0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E,
};

static uint16_t logarithm[65536]; /* of an element; that of zero is not used */
static uint16_t power[ORDER];     /* element whose logarithm it is */

void field_prepare(void)
{
    /* For a moment `logarithm` holds the polynomial of each element, and `element` is the way back. */
    static uint16_t element[65536];
    uint16_t *polynomial = logarithm;
    polynomial[0] = 0;
    for (uint32_t bit = 0; bit < 16; bit++)
        for (uint32_t i = 0; i < 1u << bit; i++)
            polynomial[(1u << bit) + i] = polynomial[i] ^ basis[bit];
    for (uint32_t i = 0; i < 65536; i++)
        element[polynomial[i]] = (uint16_t)i;
    uint32_t value = 1;
    for (uint32_t exponent = 0; exponent < ORDER; exponent++) {
        power[exponent] = element[value];
        value <<= 1;
        if (value & 0x10000)
            value ^= POLYNOMIAL;
    }
    for (uint32_t exponent = 0; exponent < ORDER; exponent++)
        logarithm[power[exponent]] = (uint16_t)exponent;
}

uint16_t field_multiply(uint16_t a, uint16_t b)
{
    if (a == 0 || b == 0)
        return 0;
    uint32_t sum = (uint32_t)logarithm[a] + logarithm[b];
    return power[sum >= ORDER ? sum - ORDER : sum];
}
