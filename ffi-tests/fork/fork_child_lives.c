// The child of a multi-threaded parent starts threads, frees blocks of the parent's threads, forks again, exits
// normally (11, 12).
// expect: exit 0
// variants: preload linked static glibc
#include <sys/wait.h>
#include "threads.h"

static volatile int stop;
static unsigned char *shared[400];

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 500, 64, 3000);
    return NULL;
}

static void *fill_shared(void *unused) {
    for (size_t i = 0; i < 400; i++) fill(shared[i] = opaque(malloc(i * 20 + 1)), i * 20 + 1, i);
    return unused;
}

static void *short_work(void *seed) {
    churn((uintptr_t)seed, 500, 64, 5000);
    return NULL;
}

static int generation(int depth) {
    alarm(25);
    for (size_t i = (size_t)depth; i < 400; i += 4) {
        CHECK_WITH(holds(shared[i], i * 20 + 1, i), i);
        free(shared[i]);
    }
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) threads[i] = start(short_work, (void *)i);
    if (depth < 3) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) exit(generation(depth + 1));
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == depth + 1, status);
    }
    for (int i = 0; i < 4; i++) join(threads[i]);
    return depth;
}

int main(void) {
    join(start(fill_shared, NULL));
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) threads[i] = start(contend, (void *)i);
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        if (child == 0) exit(generation(1));
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 1, status);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) join(threads[i]);
    return 0;
}
