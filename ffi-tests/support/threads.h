// Shared by the programs with threads: start, join, and a workload of random sizes that checks for overlap.
#ifndef THREADS_H
#define THREADS_H

#include <pthread.h>
#include "check.h"

static inline pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    CHECK_WITH(error == 0, error);
    return thread;
}

static inline void *join(pthread_t thread) {
    void *result = NULL;
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

// Keeps `slots` blocks alive at random sizes; every block carries its slot's number at both ends.
static inline void churn(uint64_t seed, int steps, size_t slots, size_t biggest) {
    unsigned char *held[256];
    size_t sizes[256];
    uint64_t state = seed * 2654435761u + 88172645463325252u;
    CHECK(slots <= 256);
    for (size_t i = 0; i < slots; i++) held[i] = NULL;
    for (int step = 0; step < steps; step++) {
        size_t slot = next_random(&state) % slots, size = 1 + next_random(&state) % biggest;
        if (held[slot])
            CHECK(held[slot][0] == (unsigned char)(seed + slot) &&
                held[slot][sizes[slot] - 1] == (unsigned char)(seed + slot));
        if (held[slot] && step % 5 == 0) {
            held[slot] = (unsigned char *)opaque(realloc(held[slot], size));
        } else {
            free(held[slot]);
            held[slot] = (unsigned char *)opaque(malloc(size));
        }
        CHECK(held[slot] != NULL);
        sizes[slot] = size;
        held[slot][0] = held[slot][size - 1] = (unsigned char)(seed + slot);
    }
    for (size_t i = 0; i < slots; i++) free(held[i]);
}

#endif
