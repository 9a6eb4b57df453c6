// Threads that use a thread_local of a loaded object end after it was closed; its destructor still frees (3, 5).
// expect: exit 0
// variants: preload linked glibc
#include <dlfcn.h>
#include "threads.h"

static pthread_barrier_t touched, closed;

static void *use(void *function) {
    long (*touch)(void) = (long (*)(void))function;
    CHECK(touch() == 3001);
    pthread_barrier_wait(&touched);
    pthread_barrier_wait(&closed);
    churn(1, 200, 16, 2000);
    return NULL;
}

int main(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/helper_tls.so", getenv("FFI_OUT"));
    for (int round = 0; round < 20; round++) {
        void *handle = dlopen(path, RTLD_NOW);
        CHECK(handle != NULL);
        pthread_barrier_init(&touched, NULL, 3);
        pthread_barrier_init(&closed, NULL, 3);
        pthread_t one = start(use, dlsym(handle, "plugin_touch")), two = start(use, dlsym(handle, "plugin_touch"));
        pthread_barrier_wait(&touched);
        CHECK(dlclose(handle) == 0);
        pthread_barrier_wait(&closed);
        join(one);
        join(two);
    }
    return 0;
}
