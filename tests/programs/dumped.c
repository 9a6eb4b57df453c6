// Fills blocks of every lane with known bytes, some of them by another thread, and says where they are. Then it waits
// for a debugger, or aborts so that the kernel dumps it: `dumped wait` or `dumped abort FOLDER`.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SMALL = 600 };

static void keep(size_t size, unsigned seed) {
    unsigned char *block = malloc(size);
    if (block == NULL) exit(3);
    memset(block, (int)(seed % 255 + 1), size);
    printf("block %lx %zu %u\n", (unsigned long)(uintptr_t)block, size, seed % 255 + 1);
}

static void *fill(void *first) {
    unsigned seed = (unsigned)(uintptr_t)first;
    for (unsigned i = 0; i < SMALL; i++) {
        keep(16 + i * 13, seed + i);
        free(malloc(5000));
    }
    // The second of two large blocks is purged in between.
    void *between = malloc(300000);
    keep(400000, seed + 1);
    free(between);
    keep(1000000, seed + 2);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    fill((void *)7);
    pthread_t other;
    if (pthread_create(&other, NULL, fill, (void *)99) != 0 || pthread_join(other, NULL) != 0) return 4;
    keep(3 << 20, 5);
    puts("ready");
    fflush(stdout);
    if (strcmp(argv[1], "abort") == 0) {
        struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
        if (argc < 3 || chdir(argv[2]) != 0 || setrlimit(RLIMIT_CORE, &all) != 0) return 5;
        abort();
    }
    for (;;) pause();
}
