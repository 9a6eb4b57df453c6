// free, realloc, malloc_usable_size and sized frees pass blocks from __libc_malloc on to libc (6).
// run: abort_policy
// expect: exit 0
// run: report_policy
// env: SPANDREL_ON_ERROR=report
// expect: exit 0
// variants: preload linked static
#include "threads.h"

static void *in_thread(void *unused) {
    // From one of libc's arenas for threads.
    for (size_t size = 1; size < 200000; size = size * 3 / 2 + 1) free(opaque(__libc_malloc(size)));
    return unused;
}

int main(void) {
    for (size_t size = 0; size < 60 * MIB; size = size * 2 + 1) {
        for (int call = 0; call < 4; call++) {
            char *block = opaque(__libc_malloc(size));
            CHECK(block != NULL);
            memset(block, 6, size);
            CHECK_WITH(malloc_usable_size(block) >= size, size);
            if (call == 0) free(block);
            if (call == 1) free_sized(block, size);
            if (call >= 2) {
                size_t wanted = call == 2 ? size + 5000 : size / 2 + 1;
                block = opaque(realloc(block, wanted));
                CHECK_WITH(block != NULL, size);
                size_t kept = size < wanted ? size : wanted;
                CHECK_WITH(kept == 0 || (block[0] == 6 && block[kept - 1] == 6), size);
                free(block);
            }
        }
    }
    pthread_t thread = start(in_thread, NULL);
    join(thread);
    return 0;
}
