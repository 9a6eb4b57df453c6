// The library itself is loaded late into a plain program: it fits into static TLS and changes nothing (2, 5).
// expect: exit 0
// only: glibc
#include <dlfcn.h>
#include "threads.h"

static void *body(void *unused) {
    churn(3, 5000, 64, 5000);
    return unused;
}

int main(void) {
    const char *path = getenv("FFI_LIBRARY");
    CHECK(path != NULL && path[0] == '/');
    void *before = opaque(malloc(500));
    pthread_t early = start(body, NULL);
    for (int i = 0; i < 3; i++) {
        void *handle = dlopen(path, RTLD_NOW);
        if (handle == NULL) dprintf(2, "%s\n", dlerror());
        CHECK(handle != NULL);
        void *(*their_malloc)(size_t) = (void *(*)(size_t))dlsym(handle, "malloc");
        void (*their_free)(void *) = (void (*)(void *))dlsym(handle, "free");
        CHECK(their_malloc != NULL && their_malloc != malloc);
        char *block = opaque(their_malloc(1000));
        CHECK(block != NULL);
        memset(block, 1, 1000);
        their_free(block);
        CHECK(dlclose(handle) == 0);
    }
    join(early);
    join(start(body, NULL));
    free(before);
    return 0;
}
