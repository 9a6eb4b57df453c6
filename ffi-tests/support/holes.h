// A peak of blocks of which every so many stays: resident memory before, at the peak, after, and the check that the
// kept blocks have their contents.
#ifndef HOLES_H
#define HOLES_H

#include <time.h>
#include "proc.h"
#include "threads.h"

enum { PEAK = 100 * MIB };

// A peak, the blocks that stay of it, and where they are.
struct peak {
    size_t size, kept_of, count, before, full;
    unsigned char **blocks;
};

static inline size_t resident(void) { return (size_t)proc_number("/proc/self/status", "VmRSS:") * KIB; }

static inline struct peak peak_of(size_t size, size_t kept_of) {
    struct peak peak = {size, kept_of, PEAK / size, 0, 0, NULL};
    // A mapping of its own, whose pages are all present, so that it changes no figure.
    peak.blocks = malloc(peak.count * sizeof *peak.blocks);
    CHECK(peak.blocks != NULL);
    memset(peak.blocks, 0, peak.count * sizeof *peak.blocks);
    return peak;
}

static inline void grow(struct peak *peak) {
    peak->before = resident();
    for (size_t i = 0; i < peak->count; i++) fill(peak->blocks[i] = opaque(malloc(peak->size)), peak->size, i);
    peak->full = resident();
}

static inline void thin(struct peak *peak) {
    for (size_t i = 0; i < peak->count; i++) {
        if (i % peak->kept_of == 0) continue;
        free(peak->blocks[i]);
        peak->blocks[i] = NULL;
    }
}

static inline void check_kept(const struct peak *peak) {
    for (size_t i = 0; i < peak->count; i += peak->kept_of) CHECK_WITH(holds(peak->blocks[i], peak->size, i), i);
}

// Bytes of the pages that the kept blocks lie on, and a little for all else that a process needs meanwhile.
static inline size_t most_left(const struct peak *peak) {
    size_t page = 4 * KIB, pages = peak->size / page + 2;
    if (peak->size < page) pages = peak->size <= 16 ? 1 : 2;
    return (peak->count / peak->kept_of + 1) * pages * page + 6 * MIB;
}

// A thread that frees most of a peak, then waits at `turn`, twice, and checks what it kept.
static pthread_barrier_t turn;

static inline void *then_sleep(void *peak) {
    grow(peak);
    thin(peak);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    check_kept(peak);
    return NULL;
}

#endif
