/* The walk over the matrix of a blob. It is never held as a whole: rows are extended first (their repair symbols are
   kept, half the blob), then LANES columns at a time are extended, hashed, and grown to their roots; of the hashes of
   such a group each row keeps only the root over its LANES leaves. Savings, all exact: 2-byte symbols have 65,536
   leaves only, which a table holds; rows below the content, and groups of columns without any, are zero, and so are the
   trees over them; the content is read where it lies, but for the last row that it reaches into. */

#include "sliver_roots.h"

#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#ifdef _POSIX_THREADS
#include <pthread.h>
#endif

#include "field.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "BLAKE2b words are taken from memory as they lie: little-endian machines only"
#endif

enum { TABLE = 65536, TABLE_UNIT = 1024, TABLE_PAYS = 512 /* shards, from which there are four leaves an entry */ };

/* A systematic code: `k` symbols get `count` repair symbols through transforms of `size` points. */
struct code {
    size_t k, count, size;
    int high_rate; /* transforms as long as the repair symbols, over the source piece by piece; else the reverse */
};

struct scratch {     /* of one thread */
    uint8_t *strips; /* two arrays for transforms */
    uint8_t *grid;   /* repair symbols of a group of columns, row by row */
    uint64_t *nodes; /* leaves of a group, a node a row */
};

struct walk {
    const struct kernel *kernel;
    const struct hasher *hasher;
    const uint8_t *content;
    size_t length, n, rows, columns, symbol;
    size_t used, whole; /* rows that hold content, rows that it fills */
    size_t lanes, words /* of a node */, groups, height /* of trees over n leaves */, group_height;
    struct code row_code, column_code;
    size_t points; /* factors that the transforms use */
    unsigned threads;
    uint8_t *padded;     /* the last row that holds content */
    uint8_t *factors;    /* FACTOR_SIZE bytes each */
    uint8_t *repair;     /* repair symbols of the rows that hold content */
    uint64_t *table;     /* leaf hashes of all 2-byte symbols, or nothing */
    uint64_t *row_nodes; /* for each block of `lanes` rows and each group of columns the root over the group */
    uint64_t *zeros;     /* nodes of a zero leaf, of two, of four ...; then the root of a zero sliver, then an empty node */
    struct scratch scratch[MAX_THREADS];
    uint8_t *roots;
};

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts_of(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* ── shapes and memory ───────────────────────────────────────────────────────────────────────────────────────────── */

static size_t power_of_two(size_t least)
{
    size_t size = 1;
    while (size < least)
        size *= 2;
    return size;
}

static size_t height_of(size_t leaves)
{
    size_t height = 0;
    while ((size_t)1 << height < leaves)
        height++;
    return height;
}

static struct code code_of(size_t k, size_t count)
{
    size_t k_size = power_of_two(k), count_size = power_of_two(count);
    int high_rate = k_size > count_size;
    return (struct code){k, count, high_rate ? count_size : k_size, high_rate};
}

static size_t points_of(struct code code)
{
    return code.count ? code.size + parts_of(code.high_rate ? code.k : code.count, code.size) * code.size : 0;
}

static int shape(struct walk *walk, const struct blob *blob)
{
    size_t n = blob->n_shards, faulty = (n - 1) / 3;
    if (n < 1 || n > MAX_SHARDS)
        return 0;
    memset(walk, 0, sizeof *walk);
    walk->kernel = blob->kernel;
    walk->hasher = blob->kernel->hasher;
    walk->content = blob->content;
    walk->length = blob->length;
    walk->threads = blob->threads;
    walk->n = n;
    walk->rows = n - 2 * faulty;
    walk->columns = n - faulty;
    uint64_t symbols = (uint64_t)walk->rows * walk->columns;
    uint64_t symbol = walk->length ? (walk->length - 1) / symbols + 1 : 1;
    symbol += symbol % 2;
    if (symbol > MAX_SYMBOL)
        return 0;
    walk->symbol = (size_t)symbol;
    size_t row = walk->columns * walk->symbol;
    walk->used = walk->length / row + (walk->length % row != 0);
    walk->whole = walk->length / row;
    walk->lanes = walk->hasher->lanes;
    walk->words = 4 * walk->lanes;
    walk->groups = parts_of(n, walk->lanes);
    walk->height = height_of(n);
    walk->group_height = at_most(walk->height, height_of(walk->lanes));
    walk->row_code = code_of(walk->columns, n - walk->columns);
    walk->column_code = code_of(walk->rows, n - walk->rows);
    size_t by_row = points_of(walk->row_code), by_column = points_of(walk->column_code);
    walk->points = by_row > by_column ? by_row : by_column;
    return walk->points <= 65536;
}

struct arena {
    uint8_t *base; /* none while sizes are only added up */
    uint64_t taken;
};

static void *take(struct arena *arena, uint64_t count, uint64_t size)
{
    uint64_t start = arena->taken;
    arena->taken += (count * size + 63) / 64 * 64;
    return arena->base ? arena->base + start : 0;
}

static uint64_t carve(struct walk *walk, uint8_t *base)
{
    struct arena arena = {base, 0};
    uint64_t n = walk->n, symbol = walk->symbol, node = walk->words * sizeof(uint64_t), blocks = walk->groups;
    uint64_t strips = walk->row_code.size > walk->column_code.size ? walk->row_code.size : walk->column_code.size;
    walk->padded = take(&arena, walk->columns, symbol);
    walk->factors = take(&arena, walk->points, FACTOR_SIZE);
    walk->repair = take(&arena, walk->used * walk->row_code.count, symbol);
    walk->row_nodes = take(&arena, blocks * blocks, node);
    walk->zeros = take(&arena, walk->height + 3, node);
    if (symbol == 2 && n >= TABLE_PAYS)
        walk->table = take(&arena, TABLE, HASH_SIZE);
    for (unsigned i = 0; i < walk->threads; i++) {
        walk->scratch[i].strips = take(&arena, 2 * strips, STRIP);
        walk->scratch[i].grid = take(&arena, walk->column_code.count * walk->lanes, symbol);
        walk->scratch[i].nodes = take(&arena, blocks * walk->lanes, node);
    }
    return arena.taken + 64; /* to begin at a multiple of 64 */
}

uint64_t sliver_roots_memory(const struct blob *blob)
{
    struct walk walk;
    return shape(&walk, blob) ? carve(&walk, 0) : 0;
}

/* ── threads ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

typedef void (*unit_of_work)(const struct walk *walk, const struct scratch *scratch, size_t index);

struct team {
    const struct walk *walk;
    unit_of_work work;
    size_t next, count;
};

struct member {
    struct team *team;
    const struct scratch *scratch;
};

static void *take_part(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    size_t index;
    while ((index = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED)) < team->count)
        team->work(team->walk, member->scratch, index);
    return 0;
}

/* Do units 0..count-1 in any order. A thread that cannot be started is done without. */
static void for_each(const struct walk *walk, unit_of_work work, size_t count)
{
    struct team team = {walk, work, 0, count};
    struct member members[MAX_THREADS];
    for (unsigned i = 0; i < walk->threads; i++)
        members[i] = (struct member){&team, &walk->scratch[i]};
#ifdef _POSIX_THREADS
    pthread_t others[MAX_THREADS];
    unsigned started = 0;
    while (started + 1 < at_most(walk->threads, count) &&
           pthread_create(&others[started], 0, take_part, &members[started + 1]) == 0)
        started++;
    take_part(&members[0]);
    while (started)
        pthread_join(others[--started], 0);
#else
    take_part(&members[0]);
#endif
}

/* ── symbols ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A symbol of a row that holds content. */
static inline const uint8_t *symbol_at(const struct walk *walk, size_t row, size_t column)
{
    if (column >= walk->columns)
        return walk->repair + (row * walk->row_code.count + column - walk->columns) * walk->symbol;
    const uint8_t *start = row < walk->whole ? walk->content + row * walk->columns * walk->symbol : walk->padded;
    return start + column * walk->symbol;
}

/* Code words side by side: rows of the matrix, or columns of a group. */
struct words {
    const struct walk *walk;
    const struct scratch *scratch;
    const struct code *code;
    int are_rows;
    size_t first, count;
};

static inline const uint8_t *source_of(const struct words *words, size_t position, size_t word)
{
    return words->are_rows ? symbol_at(words->walk, words->first + word, position)
                           : symbol_at(words->walk, position, words->first + word);
}

static inline uint8_t *repair_of(const struct words *words, size_t position, size_t word)
{
    const struct walk *walk = words->walk;
    size_t index = words->are_rows ? (words->first + word) * walk->row_code.count + position
                                   : position * walk->lanes + word;
    return (words->are_rows ? walk->repair : words->scratch->grid) + index * walk->symbol;
}

/* Which bytes of its symbols stand in a strip: 64 of one word, or a last shorter piece; several words, when small. */
struct window {
    size_t offset, half;        /* in the symbol: low bytes from `offset` on, then as many high ones */
    size_t first_word, n_words; /* whose pieces stand one behind the other in each half of the strip */
};

static inline void copy_half(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size == STRIP / 2)
        memcpy(to, from, STRIP / 2);
    else if (size == 1)
        *to = *from;
    else
        memcpy(to, from, size);
}

static void load(const struct words *words, struct window window, size_t start, size_t count, uint8_t *strips)
{
    for (size_t position = 0; position < count; position++)
        for (size_t i = 0; i < window.n_words; i++) {
            const uint8_t *from = source_of(words, start + position, window.first_word + i) + window.offset;
            uint8_t *to = strips + position * STRIP + i * window.half;
            copy_half(to, from, window.half);
            copy_half(to + STRIP / 2, from + window.half, window.half);
        }
}

static void store(const struct words *words, struct window window, size_t start, size_t count, const uint8_t *strips)
{
    for (size_t position = 0; position < count; position++)
        for (size_t i = 0; i < window.n_words; i++) {
            const uint8_t *from = strips + position * STRIP + i * window.half;
            uint8_t *to = repair_of(words, start + position, window.first_word + i) + window.offset;
            copy_half(to, from, window.half);
            copy_half(to + window.half, from + STRIP / 2, window.half);
        }
}

/* Load source symbols from `start` on, of which those before `used` are not zero, and turn them into coefficients. */
static void coefficients(const struct words *words, struct window window, size_t start, size_t used, size_t offset,
                         uint8_t *strips)
{
    size_t size = words->code->size, there = used > start ? at_most(used - start, size) : 0;
    load(words, window, start, there, strips);
    memset(strips + there * STRIP, 0, (size - there) * STRIP);
    words->walk->kernel->coder->inverse_fft(strips, size, offset, there, words->walk->factors);
}

static void extend_window(const struct words *words, struct window window, size_t used)
{
    const struct code *code = words->code;
    const struct walk *walk = words->walk;
    size_t size = code->size;
    uint8_t *sum = words->scratch->strips, *other = sum + size * STRIP;
    coefficients(words, window, 0, used, code->high_rate ? size : 0, sum);
    if (code->high_rate) {
        for (size_t start = size; start < used; start += size) {
            coefficients(words, window, start, used, start + size, other);
            for (size_t i = 0; i < size * STRIP; i++)
                sum[i] ^= other[i];
        }
        walk->kernel->coder->fft(sum, size, 0, code->count, walk->factors);
        store(words, window, 0, code->count, sum);
        return;
    }
    for (size_t start = 0; start < code->count; start += size) {
        size_t part = at_most(size, code->count - start);
        memcpy(other, sum, size * STRIP);
        walk->kernel->coder->fft(other, size, size + start, part, walk->factors);
        store(words, window, start, part, other);
    }
}

/* Compute the repair symbols of all words; source symbols at positions from `used` on are zero. */
static void extend(const struct words *words, size_t used)
{
    size_t symbol = words->walk->symbol, step = symbol < STRIP ? STRIP / symbol : 1;
    for (size_t first = 0; first < words->count; first += step)
        for (size_t offset = 0; offset < symbol; offset += STRIP) {
            size_t half = at_most(STRIP, symbol - offset) / 2;
            extend_window(words, (struct window){offset, half, first, at_most(step, words->count - first)}, used);
        }
}

/* ── trees ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t *zero_of(const struct walk *walk, size_t height)
{
    return walk->zeros + height * walk->words;
}

static uint64_t *zero_root(const struct walk *walk)
{
    return zero_of(walk, walk->height + 1);
}

static uint64_t *empty(const struct walk *walk)
{
    return zero_of(walk, walk->height + 2);
}

/* Grow `levels` levels of a tree in place, odd ones padded with an empty node; leaves from `zero` to before `other` are
   zero, and what stands over them only is known. */
static void grow(const struct walk *walk, uint64_t *nodes, size_t count, size_t levels, size_t zero, size_t other)
{
    size_t words = walk->words;
    for (size_t level = 0; level < levels; level++) {
        zero = (zero + 1) / 2;
        other /= 2;
        for (size_t i = 0; 2 * i < count; i++) {
            const uint64_t *left = nodes + 2 * i * words, *right = 2 * i + 1 < count ? left + words : empty(walk);
            if (zero <= i && i < other)
                memcpy(nodes + i * words, zero_of(walk, level + 1), words * sizeof *nodes);
            else
                walk->hasher->inner(left, right, nodes + i * words);
        }
        count = (count + 1) / 2;
    }
}

static void hash_zeros(const struct walk *walk)
{
    const struct hasher *hasher = walk->hasher;
    const uint8_t *symbols[MAX_LANES];
    memset(walk->padded, 0, walk->symbol); /* a zero symbol, before the last row comes there */
    for (size_t lane = 0; lane < walk->lanes; lane++)
        symbols[lane] = walk->padded;
    hasher->leaves(symbols, walk->symbol, zero_of(walk, 0));
    memset(empty(walk), 0, walk->words * sizeof(uint64_t));
    /* The last node of a level is the only one that may stand over fewer leaves than the others. */
    uint64_t *last = zero_root(walk);
    memcpy(last, zero_of(walk, 0), walk->words * sizeof *last);
    size_t count = walk->n;
    for (size_t level = 0; level < walk->height; level++, count = (count + 1) / 2) {
        const uint64_t *zero = zero_of(walk, level);
        if (count % 2)
            hasher->inner(last, empty(walk), last);
        else
            hasher->inner(zero, last, last);
        hasher->inner(zero, zero, zero_of(walk, level + 1));
    }
}

static void write_hash(const struct walk *walk, const uint64_t *node, size_t lane, uint8_t *to)
{
    for (size_t word = 0; word < 4; word++)
        memcpy(to + 8 * word, &node[word * walk->lanes + lane], 8);
}

/* ── the four kinds of work ──────────────────────────────────────────────────────────────────────────────────────── */

static void fill_table(const struct walk *walk, const struct scratch *scratch, size_t index)
{
    for (size_t value = index * TABLE_UNIT; value < (index + 1) * TABLE_UNIT; value += walk->lanes) {
        uint8_t bytes[MAX_LANES][2];
        const uint8_t *symbols[MAX_LANES];
        for (size_t lane = 0; lane < walk->lanes; lane++) {
            bytes[lane][0] = (uint8_t)(value + lane);
            bytes[lane][1] = (uint8_t)((value + lane) >> 8);
            symbols[lane] = bytes[lane];
        }
        walk->hasher->leaves(symbols, 2, scratch->nodes);
        for (size_t lane = 0; lane < walk->lanes; lane++)
            write_hash(walk, scratch->nodes, lane, (uint8_t *)(walk->table + 4 * (value + lane)));
    }
}

static size_t rows_together(const struct walk *walk)
{
    return walk->symbol < STRIP ? STRIP / walk->symbol : 1;
}

static void extend_rows(const struct walk *walk, const struct scratch *scratch, size_t index)
{
    size_t first = index * rows_together(walk);
    struct words rows = {walk, scratch, &walk->row_code, 1, first, at_most(rows_together(walk), walk->used - first)};
    extend(&rows, walk->columns);
}

static int is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static int are_zero(const struct walk *walk, size_t first, size_t count)
{
    for (size_t row = 0; row < walk->used; row++)
        for (size_t i = 0; i < count; i++)
            if (!is_zero(symbol_at(walk, row, first + i), walk->symbol))
                return 0;
    return 1;
}

/* A block of rows below the content: in every column it is zero. */
static int is_zero_block(const struct walk *walk, size_t block)
{
    return block * walk->lanes >= walk->used && (block + 1) * walk->lanes <= walk->rows;
}

static void hash_row_of_group(const struct walk *walk, const struct scratch *scratch, const struct words *group,
                              size_t row)
{
    uint64_t *node = scratch->nodes + row * walk->words;
    if (walk->used <= row && row < walk->rows) {
        memcpy(node, zero_of(walk, 0), walk->words * sizeof *node);
        return;
    }
    const uint8_t *symbols[MAX_LANES];
    for (size_t lane = 0; lane < walk->lanes; lane++) {
        size_t i = at_most(lane, group->count - 1); /* lanes beyond the last column repeat it, and are not read */
        symbols[lane] = row < walk->rows ? source_of(group, row, i) : repair_of(group, row - walk->rows, i);
    }
    if (!walk->table) {
        walk->hasher->leaves(symbols, walk->symbol, node);
        return;
    }
    for (size_t lane = 0; lane < walk->lanes; lane++) {
        const uint64_t *hash = walk->table + 4 * (symbols[lane][0] | (size_t)symbols[lane][1] << 8);
        for (size_t word = 0; word < 4; word++)
            node[word * walk->lanes + lane] = hash[word];
    }
}

static void hash_columns(const struct walk *walk, const struct scratch *scratch, size_t index)
{
    size_t first = index * walk->lanes, words = walk->words, blocks = walk->groups;
    struct words group = {walk, scratch, &walk->column_code, 0, first, at_most(walk->lanes, walk->n - first)};
    const uint64_t *root = scratch->nodes;
    if (group.count == walk->lanes && are_zero(walk, first, group.count)) {
        for (size_t block = 0; block < blocks; block++)
            memcpy(walk->row_nodes + (block * walk->groups + index) * words, zero_of(walk, walk->group_height),
                   words * sizeof *root);
        root = zero_root(walk);
    } else {
        extend(&group, walk->used);
        for (size_t row = 0; row < walk->n; row++)
            hash_row_of_group(walk, scratch, &group, row);
        for (size_t block = 0; block < blocks; block++) {
            uint64_t turned[4 * MAX_LANES * MAX_LANES];
            if (is_zero_block(walk, block))
                continue;
            walk->hasher->turn(scratch->nodes + block * walk->lanes * words, words, turned);
            grow(walk, turned, group.count, walk->group_height, 0, 0);
            memcpy(walk->row_nodes + (block * walk->groups + index) * words, turned, words * sizeof *turned);
        }
        grow(walk, scratch->nodes, walk->n, walk->height, walk->used, walk->rows);
    }
    for (size_t i = 0; i < group.count; i++)
        write_hash(walk, root, i, walk->roots + 64 * (walk->n - 1 - first - i) + HASH_SIZE);
}

static void finish_rows(const struct walk *walk, const struct scratch *scratch, size_t block)
{
    (void)scratch;
    uint64_t *nodes = walk->row_nodes + block * walk->groups * walk->words;
    const uint64_t *root = zero_root(walk);
    if (!is_zero_block(walk, block)) {
        grow(walk, nodes, walk->groups, walk->height - walk->group_height, 0, 0);
        root = nodes;
    }
    size_t first = block * walk->lanes;
    for (size_t i = 0; i < at_most(walk->lanes, walk->n - first); i++)
        write_hash(walk, root, i, walk->roots + 64 * (first + i));
}

void sliver_roots(const struct blob *blob, void *memory, uint8_t *roots)
{
    struct walk walk;
    if (!shape(&walk, blob))
        return;
    uint8_t *base = memory;
    carve(&walk, base + (64 - (uintptr_t)base % 64) % 64);
    walk.roots = roots;
    for (size_t factor = 0; factor < walk.points; factor++) {
        uint16_t products[16];
        for (int bit = 0; bit < 16; bit++)
            products[bit] = field_multiply((uint16_t)factor, (uint16_t)(1u << bit));
        walk.kernel->coder->factor(products, walk.factors + factor * FACTOR_SIZE);
    }
    size_t strips = walk.row_code.size > walk.column_code.size ? walk.row_code.size : walk.column_code.size;
    for (unsigned i = 0; i < walk.threads; i++) { /* what no symbol fills, and rows beyond the last one, is read too */
        memset(walk.scratch[i].strips, 0, 2 * strips * STRIP);
        memset(walk.scratch[i].nodes, 0, walk.groups * walk.lanes * walk.words * sizeof(uint64_t));
    }
    hash_zeros(&walk);
    size_t row = walk.columns * walk.symbol;
    memset(walk.padded, 0, row);
    if (walk.length > walk.whole * row)
        memcpy(walk.padded, walk.content + walk.whole * row, walk.length - walk.whole * row);
    if (walk.table)
        for_each(&walk, fill_table, TABLE / TABLE_UNIT);
    if (walk.row_code.count)
        for_each(&walk, extend_rows, parts_of(walk.used, rows_together(&walk)));
    for_each(&walk, hash_columns, walk.groups);
    for_each(&walk, finish_rows, walk.groups);
}
