// Threads that live shortly, and the peak of memory that many of them may leave behind.
#ifndef SHORT_THREADS_H
#define SHORT_THREADS_H

#include "threads.h"

enum { THREADS = 20000, MOST_KIB = 64 * 1024 };

static inline void *live_shortly(void *unused) {
    void *block = opaque(malloc(100)), *other = opaque(malloc(9000));
    free(block);
    free(other);
    return unused;
}

static inline long peak_kib(void) {
    char line[256];
    long peak = -1;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) sscanf(line, "VmHWM: %ld", &peak);
    fclose(file);
    return peak;
}

#endif
