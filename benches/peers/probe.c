// Says which object serves malloc in this process, how it calls itself, and whether libc's own heap was left alone.
// Usage: LD_PRELOAD=PEER probe. Prints `key=value` lines; ends 0.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 4096, BYTES = 200 };

static void object_of(const char *key, const char *symbol) {
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, symbol);
    if (address != NULL && dladdr(address, &info) != 0 && info.dli_fname != NULL) {
        printf("%s=%s\n", key, info.dli_fname);
    }
}

static void version(void) {
    int (*mimalloc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "mi_version");
    if (mimalloc != NULL) {
        printf("own_version=mi_version %d\n", mimalloc());
    }
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) = dlsym(RTLD_DEFAULT, "mallctl");
    if (mallctl != NULL) {
        const char *text = "unknown";
        size_t len = sizeof text;
        mallctl("version", &text, &len, NULL, 0);
        printf("own_version=mallctl version %s\n", text);
    }
    const char *(*gperftools)(int *, int *, const char **) = dlsym(RTLD_DEFAULT, "tc_version");
    if (gperftools != NULL) {
        printf("own_version=tc_version %s\n", gperftools(NULL, NULL, NULL));
    }
    _Bool (*per_cpu)(void) = dlsym(RTLD_DEFAULT, "MallocExtension_Internal_GetPerCpuCachesActive");
    if (per_cpu != NULL) {
        printf("own_version=tcmalloc per-CPU caches %s\n", per_cpu() ? "active" : "inactive");
    }
    static const char *const marks[] = {"sn_malloc", "rpmalloc", "spandrel_is_active"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (dlsym(RTLD_DEFAULT, marks[i]) != NULL) {
            printf("own_version=has %s\n", marks[i]);
        }
    }
}

static void *churn(void *blocks_of_thread) {
    void **blocks = blocks_of_thread;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        memset(blocks[i], i, BYTES);
    }
    return NULL;
}

int main(void) {
    static void *blocks[2][BLOCKS];
    object_of("malloc", "malloc");
    object_of("free", "free");
    object_of("realloc", "realloc");
    object_of("aligned_alloc", "aligned_alloc");
    object_of("operator_new", "_Znwm");

    // libc's own figures, not those that a peer may export under the same name.
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    struct mallinfo2 (*figures)(void) = libc != NULL ? dlsym(libc, "mallinfo2") : NULL;
    size_t before = figures != NULL ? figures().uordblks : 0;
    pthread_t thread;
    pthread_create(&thread, NULL, churn, blocks[1]);
    pthread_join(thread, NULL);
    churn(blocks[0]);
    size_t grown = figures != NULL ? figures().uordblks - before : 0;
    printf("served_by_libc=%s\n", grown >= (size_t)BLOCKS * BYTES ? "yes" : "no");
    printf("usable_of_%d=%zu\n", BYTES, malloc_usable_size(blocks[0][0]));
    printf("libc=glibc %s\n", gnu_get_libc_version());
    version();
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[0][i]);
        free(blocks[1][i]);
    }
    return 0;
}
