// Several threads fork at the same time while others allocate; every child allocates and ends (11).
// expect: exit 0
// variants: preload linked glibc
#include <sys/wait.h>
#include "threads.h"

static volatile int stop;

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 300, 64, 3000);
    return NULL;
}

static void *storm(void *seed) {
    for (int round = 0; round < 60; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            churn((uintptr_t)seed, 200, 64, 3000);
            _exit(3);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 3, status);
    }
    return NULL;
}

int main(void) {
    pthread_t workers[2], storms[4];
    for (uintptr_t i = 0; i < 2; i++) workers[i] = start(contend, (void *)i);
    for (uintptr_t i = 0; i < 4; i++) storms[i] = start(storm, (void *)(i + 10));
    for (int i = 0; i < 4; i++) join(storms[i]);
    stop = 1;
    for (int i = 0; i < 2; i++) join(workers[i]);
    return 0;
}
