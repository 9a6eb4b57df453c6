// A library that is initialised before the allocator takes all keys for thread-specific data, so the allocator cannot
// learn of the end of a thread: one line says that libc serves threads, and none of 20,000 leaves a heap behind. The
// first thread has a heap as ever (41).
// expect: exit 0 stderr ALLOCATOR_NO_EXIT_KEY
// variants: preload
// timeout: 60
#include "short_threads.h"

// Each frees the other's block.
static void *free_it(void *block) {
    free(block);
    return opaque(malloc(200));
}

// The library comes last, and so first: of several objects that ask to be initialised first the loader takes the last
// one.
static void start_again(char **arguments) {
    char objects[2048];
    int length = snprintf(objects, sizeof objects, "%s:%s/helper_keys.so", getenv("LD_PRELOAD"), getenv("FFI_OUT"));
    CHECK(length < (int)sizeof objects && setenv("LD_PRELOAD", objects, 1) == 0);
    execl("/proc/self/exe", arguments[0], "again", NULL);
    CHECK(false);
}

int main(int count, char **arguments) {
    if (count == 1) start_again(arguments);
    free(join(start(free_it, opaque(malloc(300)))));
    for (int i = 0; i < THREADS; i++) join(start(live_shortly, NULL));
    CHECK_WITH(peak_kib() < MOST_KIB, peak_kib());
    return 0;
}
