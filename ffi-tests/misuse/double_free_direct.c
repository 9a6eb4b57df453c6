// A direct block that is freed twice is reported as a double free, by free and by realloc. A block that got its address
// since is freed as any other.
// run: free
// args: free
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: later
// args: later
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: realloc
// args: realloc
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: interior
// args: interior
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: again
// args: again
// expect: exit 0
// variants: preload linked static
#include "check.h"

#define BYTES ((size_t)40 << 20)

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char *block = opaque(malloc(BYTES)), *others[20];
    for (int i = 0; i < 20; i++) others[i] = opaque(malloc(BYTES));
    if (!strcmp(argv[1], "interior")) free(opaque(block + BYTES / 2));
    free(block);
    if (!strcmp(argv[1], "free")) free(opaque(block));
    if (!strcmp(argv[1], "realloc")) block = realloc(opaque(block), 2 * BYTES);
    if (!strcmp(argv[1], "again")) {
        // The kernel reuses the gap first.
        for (int i = 0; i < 20; i++) {
            char *next = opaque(malloc(BYTES));
            next[BYTES - 1] = 1;
            free(opaque(next));
        }
    }
    for (int i = 0; i < 20; i++) free(others[i]);
    if (!strcmp(argv[1], "later")) free(opaque(block));
    return 0;
}
