/* What an instruction set gives: hashing of several messages at once, and transforms over GF(2^16).

   A *node* is LANES hashes side by side: word i of all lanes, then word i+1 (4 * lanes words of 64 bits). Trees whose
   leaves lie in the same lane grow together, without moving a word between lanes.

   A *strip* is 64 bytes of each symbol of a code word: 32 low bytes of elements, then their 32 high bytes, which is how
   the format lays out full blocks. A transform works on an array of strips. */
#ifndef WALRUS_KERNEL_H
#define WALRUS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_SIZE = 32, STRIP = 64, FACTOR_SIZE = 128, MAX_LANES = 8 };

struct hasher {
    size_t lanes;
    /* Hash 00 and `size` bytes of each symbol, one symbol a lane. */
    void (*leaves)(const uint8_t *const *symbols, size_t size, uint64_t *node);
    /* Hash 01, left and right in each lane; `parent` may be one of the two. */
    void (*inner)(const uint64_t *left, const uint64_t *right, uint64_t *parent);
    /* Take `lanes` nodes that lie `stride` words apart: lane j of node i becomes lane i of node j. */
    void (*turn)(const uint64_t *nodes, size_t stride, uint64_t *turned);
};

struct coder {
    /* Write the FACTOR_SIZE bytes with which the transforms multiply, from products[b] = factor * element 1 << b. */
    void (*factor)(const uint16_t products[16], uint8_t *factor);
    /* Values at points offset..offset+wanted-1 from `size` coefficients, in place. */
    void (*fft)(uint8_t *strips, size_t size, size_t offset, size_t wanted, const uint8_t *factors);
    /* Coefficients from values at points offset..offset+size-1, in place; strips from `used` on are zero. */
    void (*inverse_fft)(uint8_t *strips, size_t size, size_t offset, size_t used, const uint8_t *factors);
};

struct kernel {
    const char *name;
    int (*runs_here)(void);
    const struct hasher *hasher;
    const struct coder *coder;
};

extern const struct hasher hasher_portable, hasher_avx2, hasher_avx512;
extern const struct coder coder_portable, coder_neon, coder_avx2, coder_gfni;

/* For shuffles: 16 products of each of an element's four digits of four bits; their low bytes, then their high ones. */
void factor_by_digits(const uint16_t products[16], uint8_t *factor);

/* All kernels of this build, the fastest first; the last one has no name. */
extern const struct kernel kernels[];

#endif
