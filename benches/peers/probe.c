// Says which object serves malloc in this process, how it calls itself, whether libc's own heap was left alone, and how
// the allocator acts in two cases in which a hardened build differs from others.
// Usage: LD_PRELOAD=PEER probe. Prints `key=value` lines; ends 0.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 4096, BYTES = 200, SECONDS = 5 };

static void object_of(const char *key, const char *symbol) {
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, symbol);
    if (address != NULL && dladdr(address, &info) != 0 && info.dli_fname != NULL) {
        printf("%s=%s\n", key, info.dli_fname);
    }
}

// mimalloc prints its level of security among its options; a message may come in several parts.
static char options[1 << 14];

static void keep(const char *part, void *unused) {
    (void)unused;
    strncat(options, part, sizeof options - strlen(options) - 1);
}

static void secure_level(void) {
    void (*print)(void (*)(const char *, void *), void *) = dlsym(RTLD_DEFAULT, "mi_options_print_out");
    if (print != NULL) {
        static const char key[] = "secure level: ";
        print(keep, NULL);
        const char *level = strstr(options, key);
        printf("secure_level=%d\n", level != NULL ? atoi(level + strlen(key)) : -1);
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
    static const char *const marks[] = {"sn_malloc", "rpmalloc", "malloc_object_size_fast", "__scudo_print_stats",
                                       "spandrel_is_active"};
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

// A free inside a block, and what follows, in a child: its end is the answer.
static void freed_inside(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(SECONDS);
        close(STDERR_FILENO);
        char *volatile block = malloc(BYTES);
        free(block + 16);
        for (int i = 0; i < BLOCKS; i++) {
            void *volatile next = malloc(BYTES);
            (void)next;
        }
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    printf("free_inside=%s\n", status == 0 ? "passed" : "stopped");
}

static void reused(void) {
    void *volatile first = malloc(BYTES);
    void *volatile keep_address = first;
    free(first);
    void *volatile second = malloc(BYTES);
    printf("reuse=%s\n", second == keep_address ? "at once" : "later");
    free(second);
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
    secure_level();
    freed_inside();
    reused();
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[0][i]);
        free(blocks[1][i]);
    }
    return 0;
}
