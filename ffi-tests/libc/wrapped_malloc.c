// A program wraps malloc and forwards by dlsym(RTLD_NEXT), which may itself allocate (1).
// expect: exit 0
// variants: preload linked glibc
#include <dlfcn.h>
#include "threads.h"

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static int wrapped;
static __thread int looking;

void *malloc(size_t size) {
    if (next_malloc == NULL) next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    __atomic_add_fetch(&wrapped, 1, __ATOMIC_RELAXED);
    return next_malloc(size);
}

void *calloc(size_t count, size_t size) {
    if (next_calloc == NULL) {
        if (looking) return NULL;
        looking = 1;
        next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
        looking = 0;
    }
    return next_calloc(count, size);
}

static void *body(void *seed) {
    churn((uintptr_t)seed, 5000, 64, 40000);
    free(opaque(calloc(100, 100)));
    return NULL;
}

int main(void) {
    CHECK(dlsym(RTLD_NEXT, "no_such_name") == NULL && dlerror() != NULL);
    pthread_t one = start(body, (void *)1), two = start(body, (void *)2);
    join(one);
    join(two);
    CHECK(wrapped > 5000);
    return 0;
}
