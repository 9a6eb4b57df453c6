// fork while other threads are inside malloc and free: the child allocates in every lane without deadlock (11).
// expect: exit 0
// variants: preload linked static glibc
#include <sys/wait.h>
#include "threads.h"

static volatile int stop;

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 500, 64, (uintptr_t)seed % 2 ? 2000 : 200000);
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) threads[i] = start(contend, (void *)(i + 1));
    char *before = opaque(malloc(3000));
    fill(before, 3000, 4);
    for (int round = 0; round < 150; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            CHECK(holds(before, 3000, 4));
            free(before);
            churn((uint64_t)round, 300, 64, 3000);
            for (size_t i = 0; i < LANE_COUNT; i++) free(opaque(malloc(LANE_SIZES[i])));
            _exit(7);
        }
        churn((uint64_t)round, 100, 64, 3000);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 7, status);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) join(threads[i]);
    return 0;
}
