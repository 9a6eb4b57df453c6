// A general load of every lane, with threads and forks; prints `done` when everything was as it should be.
// Arguments: threads, biggest number of MiB held at once.
#include <sys/wait.h>
#include "threads.h"

static void *work(void *seed) {
    churn((uintptr_t)seed, 8000, 200, 3000);
    churn((uintptr_t)seed, 500, 20, 300000);
    return NULL;
}

static void with_threads(int count) {
    pthread_t threads[64];
    pthread_attr_t attributes;
    CHECK(count <= 64 && pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 128 * KIB) == 0);
    for (intptr_t i = 0; i < count; i++) CHECK(pthread_create(&threads[i], &attributes, work, (void *)i) == 0);
    for (int i = 0; i < count; i++) join(threads[i]);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    int threads = atoi(argv[1]);
    size_t most = strtoull(argv[2], NULL, 10) * MIB;
    with_threads(threads);
    for (size_t size = 1000; size <= most; size *= 3) {
        char *block = opaque(calloc(1, size));
        CHECK_WITH(block != NULL && all_zero(block, size), size);
        fill(block, 1000, 1);
        block = opaque(realloc(block, size + size / 4));
        CHECK_WITH(block != NULL && holds(block, 1000, 1), size);
        free(block);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        with_threads(threads);
        _exit(5);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 5);
    puts("done");
    return 0;
}
