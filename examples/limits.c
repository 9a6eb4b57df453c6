// A program with a cache stays below a limit: the library calls it when memory gets short, and it drops what it can make again.
// Run it: make -C examples limits
// Prints:
//   above the soft limit of 16 MiB
//   the hard limit of 64 MiB: the cache is dropped
//   above the soft limit of 16 MiB
//   100 pages were cached, and the cache was dropped 1 time
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 100 };
#define MIB ((size_t)1 << 20)

static void *cache[PAGES];
static int drops;

// Called in the thread that met the limit, from inside its malloc. It may allocate and free.
static void memory_is_short(int limit, size_t held, size_t bytes) {
    (void)held;
    if (limit == SPANDREL_LIMIT_SOFT) {
        printf("above the soft limit of %zu MiB\n", bytes / MIB);
        return;
    }
    printf("the hard limit of %zu MiB: the cache is dropped\n", bytes / MIB);
    drops++;
    for (int i = 0; i < PAGES; i++) {
        free(cache[i]);
        cache[i] = NULL;
    }
}

int main(void) {
    spandrel_set_limit_callback(memory_is_short);
    if (!spandrel_set_limits(16 * MIB, 64 * MIB)) return 1;
    for (int i = 0; i < PAGES; i++) {
        // At the hard limit the request is tried again after the callback, so it succeeds.
        void *page = malloc(MIB);
        if (page == NULL) return 1;
        memset(page, i, MIB);
        cache[i] = page;
    }
    printf("%d pages were cached, and the cache was dropped %d time\n", PAGES, drops);
    for (int i = 0; i < PAGES; i++) free(cache[i]);
    return 0;
}
