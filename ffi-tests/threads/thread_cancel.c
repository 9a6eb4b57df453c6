// Threads cancelled while they allocate leave no lock held and no heap broken.
// expect: exit 0
// variants: preload linked static glibc
#include "threads.h"

static void *body(void *seed) {
    while (seed != NULL) {
        churn((uintptr_t)seed, 50, 16, 40000);
        pthread_testcancel();
    }
    return seed;
}

int main(void) {
    for (uintptr_t round = 0; round < 60; round++) {
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++) threads[i] = start(body, (void *)(round + i + 1));
        churn(round, 300, 32, 40000);
        for (int i = 0; i < 4; i++) CHECK(pthread_cancel(threads[i]) == 0);
        for (int i = 0; i < 4; i++) CHECK(join(threads[i]) == PTHREAD_CANCELED);
    }
    return 0;
}
