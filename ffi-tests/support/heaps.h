// Shared by the programs with named heaps: heaps with a limit, their figures, and blocks of every size in them.
#ifndef HEAPS_H
#define HEAPS_H

#include "spandrel_weak.h"
#include "threads.h"

// Memory that limits count: whole regions.
#define REGION (32 * KIB)

// Every lane, and classes whose blocks cross regions.
static const size_t HEAP_SIZES[] = {1, 16, 100, 1000, 3000, 20000, 32768, 40000, 300000, 3 * 1024 * 1024,
    33 * 1024 * 1024};
enum { HEAP_SIZE_COUNT = sizeof HEAP_SIZES / sizeof HEAP_SIZES[0] };

static inline spandrel_heap_t *heap_new(const char *name, size_t hard, unsigned flags) {
    struct spandrel_heap_options options = {.name = name, .hard_limit = hard, .flags = flags};
    spandrel_heap_t *heap = spandrel_heap_create(&options);
    CHECK(heap != NULL && heap != SPANDREL_HEAP_FAILED);
    return heap;
}

// The figures of a heap, which no other thread uses just now.
static inline struct spandrel_heap_stats bill_of(spandrel_heap_t *heap) {
    struct spandrel_heap_stats bill;
    memset(&bill, 0xa5, sizeof bill);
    CHECK(spandrel_heap_stats(heap, &bill, sizeof bill) == 0);
    CHECK_WITH(bill.held_bytes == bill.span_bytes + bill.large_bytes, bill.held_bytes);
    CHECK_WITH(bill.span_bytes % REGION == 0, bill.span_bytes);
    CHECK(bill.peak_bytes >= bill.held_bytes);
    CHECK(bill.live_bytes <= bill.held_bytes);
    return bill;
}

static inline struct spandrel_stats process_now(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats;
}

// The calling thread uses `heap` from now on; it used `before`.
static inline void use_from(spandrel_heap_t *before, spandrel_heap_t *heap) {
    spandrel_heap_t *seen = spandrel_heap_use(heap);
    CHECK_WITH(seen == before, errno);
    CHECK(spandrel_heap_current() == heap);
}

static inline void destroy(spandrel_heap_t *heap) {
    int error = spandrel_heap_destroy(heap);
    CHECK_WITH(error == 0, error);
}

// The same when no block is on its way any more of those that the calling thread freed.
static inline struct spandrel_heap_stats settled(spandrel_heap_t *heap) {
    spandrel_safepoint(0);
    spandrel_heap_t *before = spandrel_heap_use(heap);
    CHECK_WITH(before != SPANDREL_HEAP_FAILED, errno);
    while (spandrel_safepoint(0)) {}
    CHECK(spandrel_heap_use(before) == heap);
    return bill_of(heap);
}

// Whether figures know which blocks are live: in mode hardened those in quarantine count as well.
static inline bool live_is_known(void) { return strcmp(spandrel_mode(), "hardened") != 0; }

// The program has freed all blocks of the heap.
static inline void check_empty(spandrel_heap_t *heap) {
    size_t left = settled(heap).live_blocks;
    CHECK_WITH(left == 0 || !live_is_known(), left);
}

// A block that holds a pattern of its own.
struct held {
    unsigned char *at;
    size_t size, seed;
};

// Fills both ends of large blocks, and all of others.
static inline size_t held_span(const struct held *block) { return block->size < 64 * KIB ? block->size : 8 * KIB; }

static inline void held_fill(struct held *block, void *at, size_t size, size_t seed) {
    *block = (struct held){(unsigned char *)at, size, seed};
    fill(block->at, held_span(block), seed);
    fill(block->at + size - held_span(block), held_span(block), seed);
}

static inline void held_check(const struct held *block) {
    CHECK_WITH(block->size >= 64 * KIB || holds(block->at, block->size, block->seed), block->seed);
    CHECK_WITH(holds(block->at + block->size - held_span(block), held_span(block), block->seed), block->seed);
}

#endif
