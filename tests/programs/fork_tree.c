// A tree of forks, each process with threads that allocate while it forks. Arguments: depth, children per process,
// threads.
#include <sys/wait.h>
#include "threads.h"

static volatile int stop;

static void *work(void *seed) {
    while (!stop) churn((uintptr_t)seed, 200, 64, (uintptr_t)seed % 2 ? 2000 : 100000);
    return NULL;
}

static int grow(int depth, int children, int count) {
    pthread_t threads[16];
    CHECK(count <= 16);
    alarm(60);
    stop = 0;
    for (intptr_t i = 0; i < count; i++) threads[i] = start(work, (void *)(i + depth));
    for (int round = 0; depth > 0 && round < children; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) exit(grow(depth - 1, children, count));
        churn((uint64_t)round, 100, 64, 3000);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 0, status);
    }
    churn((uint64_t)depth, 500, 64, 40000);
    stop = 1;
    for (int i = 0; i < count; i++) join(threads[i]);
    return 0;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    return grow(atoi(argv[1]), atoi(argv[2]), atoi(argv[3]));
}
