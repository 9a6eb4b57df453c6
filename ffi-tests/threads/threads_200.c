// Two hundred threads at once, all allocating.
// expect: exit 0
// variants: preload linked static glibc
#include "threads.h"

static pthread_barrier_t gate;

static void *body(void *seed) {
    pthread_barrier_wait(&gate);
    churn((uintptr_t)seed, 1500, 64, 3000);
    pthread_barrier_wait(&gate);
    return seed;
}

int main(void) {
    static pthread_t threads[200];
    CHECK(pthread_barrier_init(&gate, NULL, 200) == 0);
    for (uintptr_t i = 0; i < 200; i++) threads[i] = start(body, (void *)i);
    for (uintptr_t i = 0; i < 200; i++) CHECK(join(threads[i]) == (void *)i);
    return 0;
}
