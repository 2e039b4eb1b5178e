/* BLAKE2b-256 (RFC 7693) of LANES messages at once: included by each instruction set, which defines LANES, NAME and the
   rotations ROR32, ROR24, ROR16, ROR63. Vectors are those of GCC and Clang, so that one text serves all sets. */

#include <string.h>

#include "kernel.h"

typedef uint64_t NAME(vector) __attribute__((vector_size(8 * LANES)));
#define V NAME(vector)

#ifdef __clang__
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(a, b, ...) __builtin_shuffle(a, b, (V){__VA_ARGS__})
#endif

static const uint64_t NAME(iv)[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
#define ALL(word) ((V){0} + (word))

#define G(a, b, c, d, x, y)                                                                                            \
    v[a] = v[a] + m[x] + v[b];                                                                                         \
    v[d] = ROR32(v[d] ^ v[a]);                                                                                         \
    v[c] = v[c] + v[d];                                                                                                \
    v[b] = ROR24(v[b] ^ v[c]);                                                                                         \
    v[a] = v[a] + m[y] + v[b];                                                                                         \
    v[d] = ROR16(v[d] ^ v[a]);                                                                                         \
    v[c] = v[c] + v[d];                                                                                                \
    v[b] = ROR63(v[b] ^ v[c]);

#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)                                    \
    G(0, 4, 8, 12, s0, s1)                                                                                             \
    G(1, 5, 9, 13, s2, s3)                                                                                             \
    G(2, 6, 10, 14, s4, s5)                                                                                            \
    G(3, 7, 11, 15, s6, s7)                                                                                            \
    G(0, 5, 10, 15, s8, s9)                                                                                            \
    G(1, 6, 11, 12, s10, s11)                                                                                          \
    G(2, 7, 8, 13, s12, s13)                                                                                           \
    G(3, 4, 9, 14, s14, s15)

/* One block. Written out and inlined: where words of `m` are known to be zero, their additions go away. */
static inline __attribute__((always_inline)) void NAME(compress)(V *h, const V *m, uint64_t hashed, uint64_t last)
{
    V v[16];
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = ALL(NAME(iv)[i]);
    }
    v[12] ^= ALL(hashed);
    v[14] ^= ALL(last);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

static inline __attribute__((always_inline)) void NAME(start)(V *h)
{
    for (int i = 0; i < 8; i++)
        h[i] = ALL(NAME(iv)[i]);
    h[0] ^= ALL(0x01010000 ^ HASH_SIZE);
}

static void NAME(inner)(const uint64_t *left, const uint64_t *right, uint64_t *parent)
{
    V h[8], m[16], children[8];
    memcpy(children, left, sizeof(V) * 4);
    memcpy(children + 4, right, sizeof(V) * 4);
    m[0] = ALL(1) | children[0] << 8; /* the prefix moves every byte up by one */
    for (int i = 1; i < 8; i++)
        m[i] = children[i - 1] >> 56 | children[i] << 8;
    m[8] = children[7] >> 56;
    for (int i = 9; i < 16; i++)
        m[i] = ALL(0);
    NAME(start)(h);
    NAME(compress)(h, m, 1 + 2 * HASH_SIZE, ~(uint64_t)0);
    memcpy(parent, h, sizeof(V) * 4);
}

/* Transpose a square of words: in the step of distance d, lanes apart by d change places between rows apart by d. */
static inline __attribute__((always_inline)) void NAME(transpose)(V *rows)
{
#if LANES == 8
#define STEPS                                                                                                          \
    STEP(1, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))                                                  \
    STEP(2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))                                                  \
    STEP(4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
#elif LANES == 4
#define STEPS                                                                                                          \
    STEP(1, (0, 4, 2, 6), (1, 5, 3, 7))                                                                                \
    STEP(2, (0, 1, 4, 5), (2, 3, 6, 7))
#else
#define STEPS STEP(1, (0, 2), (1, 3))
#endif
#define BARE(...) __VA_ARGS__
#define APPLY(macro, ...) macro(__VA_ARGS__)
#define STEP(d, low, high)                                                                                             \
    for (int i = 0; i < LANES; i++)                                                                                    \
        if (!(i & d)) {                                                                                                \
            V a = rows[i], b = rows[i + d];                                                                            \
            rows[i] = APPLY(MIX, a, b, BARE low);                                                                      \
            rows[i + d] = APPLY(MIX, a, b, BARE high);                                                                 \
        }
    STEPS
#undef STEP
#undef STEPS
#undef BARE
#undef APPLY
}

static void NAME(turn)(const uint64_t *nodes, size_t stride, uint64_t *turned)
{
    for (int word = 0; word < 4; word++) {
        V rows[LANES];
        for (int i = 0; i < LANES; i++)
            memcpy(&rows[i], nodes + (size_t)i * stride + word * LANES, sizeof(V));
        NAME(transpose)(rows);
        for (int i = 0; i < LANES; i++)
            memcpy(turned + (i * 4 + word) * LANES, &rows[i], sizeof(V));
    }
}

/* Copy block `index` of the message 00 + symbol, filled up with zeros. */
static inline void NAME(block)(const uint8_t *symbol, size_t size, size_t index, uint8_t *block)
{
    size_t begin = index * 128, end = begin + 128; /* in the message, which is one byte longer than the symbol */
    if (index > 0 && end <= size + 1) {
        memcpy(block, symbol + begin - 1, 128);
        return;
    }
    size_t skip = index == 0, there = (end < size + 1 ? end : size + 1) - begin;
    memset(block, 0, 128);
    memcpy(block + skip, symbol + begin + skip - 1, there - skip);
}

static void NAME(leaves)(const uint8_t *const *symbols, size_t size, uint64_t *node)
{
    V h[8], m[16];
    uint8_t blocks[LANES][128];
    size_t count = size / 128 + 1; /* of size + 1 bytes, rounded up */
    NAME(start)(h);
    for (size_t index = 0; index < count; index++) {
        for (int lane = 0; lane < LANES; lane++)
            NAME(block)(symbols[lane], size, index, blocks[lane]);
        for (int part = 0; part < 16; part += LANES) {
            for (int lane = 0; lane < LANES; lane++)
                memcpy(&m[part + lane], blocks[lane] + part * 8, sizeof(V));
            NAME(transpose)(m + part);
        }
        int last = index + 1 == count;
        NAME(compress)(h, m, last ? size + 1 : (index + 1) * 128, last ? ~(uint64_t)0 : 0);
    }
    memcpy(node, h, sizeof(V) * 4);
}

const struct hasher NAME(hasher) = {LANES, NAME(leaves), NAME(inner), NAME(turn)};
