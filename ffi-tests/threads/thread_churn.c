// Two thousand short-lived threads: no deadlock, and memory does not grow with the number of threads that ever lived
// (21).
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"
#include "threads.h"

static void *body(void *seed) {
    churn((uintptr_t)seed, 60, 32, 4000);
    return NULL;
}

int main(void) {
    long warm = 0;
    for (uintptr_t round = 0; round < 500; round++) {
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++) threads[i] = start(body, (void *)(round * 4 + i));
        for (int i = 0; i < 4; i++) join(threads[i]);
        if (round == 100) warm = peak_kib();
    }
    CHECK_WITH(peak_kib() < warm + 16 * 1024, peak_kib() - warm);
    return 0;
}
