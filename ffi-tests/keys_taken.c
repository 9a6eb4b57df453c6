// A program takes all keys for thread-specific data before it allocates: heaps still come back when threads end (20,000 of them).
// expect: exit 0
// variants: preload linked static
// timeout: 60
#include "threads.h"

enum { THREADS = 20000, MOST_KIB = 64 * 1024 };

static void *live_shortly(void *unused) {
    void *block = opaque(malloc(100)), *other = opaque(malloc(9000));
    free(block);
    free(other);
    return unused;
}

static long peak_kib(void) {
    char line[256];
    long peak = -1;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) sscanf(line, "VmHWM: %ld", &peak);
    fclose(file);
    return peak;
}

int main(void) {
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0) {}
    for (int i = 0; i < THREADS; i++) join(start(live_shortly, NULL));
    CHECK_WITH(peak_kib() < MOST_KIB, peak_kib());
    return 0;
}
