// Short threads, and the peak of memory that many of them may leave behind.
#ifndef SHORT_THREADS_H
#define SHORT_THREADS_H

#include "proc.h"
#include "threads.h"

enum { THREADS = 20000, MOST_KIB = 64 * 1024 };

static inline void *live_shortly(void *unused) {
    void *block = opaque(malloc(100)), *other = opaque(malloc(9000));
    free(block);
    free(other);
    return unused;
}

#endif
