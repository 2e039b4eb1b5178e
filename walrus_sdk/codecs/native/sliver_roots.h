/* From the bytes of a blob to the Merkle roots of all its slivers. */
#ifndef WALRUS_SLIVER_ROOTS_H
#define WALRUS_SLIVER_ROOTS_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

enum { MAX_SHARDS = 65535, MAX_SYMBOL = 65534, MAX_THREADS = 64 };

struct blob {
    const struct kernel *kernel;
    const uint8_t *content;
    size_t length;
    size_t n_shards;
    unsigned threads; /* 1 to MAX_THREADS */
};

/* Bytes of memory that `sliver_roots` needs; 0 when the blob has no code or does not fit into symbols. */
uint64_t sliver_roots_memory(const struct blob *blob);

/* Write, for each sliver pair, the roots of its primary and secondary sliver: 64 * n_shards bytes. Allocates nothing and
   cannot fail; `memory` is as long as was asked for. */
void sliver_roots(const struct blob *blob, void *memory, uint8_t *roots);

#endif
