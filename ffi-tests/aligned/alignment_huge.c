// Alignments up to 1 GiB with small sizes work and do not cost the alignment in memory.
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"

int main(void) {
    for (size_t alignment = MIB; alignment <= 1024 * MIB; alignment *= 2) {
        char *first = opaque(memalign(alignment, 100)), *second = NULL;
        CHECK_WITH(first != NULL && aligned_to(first, alignment), alignment / MIB);
        CHECK_WITH(posix_memalign((void **)&second, alignment, 300000) == 0, alignment / MIB);
        CHECK_WITH(aligned_to(second, alignment) && second != first, alignment / MIB);
        fill(first, 100, 1);
        fill(second, 300000, 2);
        CHECK(holds(first, 100, 1));
        first = opaque(realloc(first, 5000));
        CHECK(first != NULL && holds(first, 100, 1) && holds(second, 300000, 2));
        free(first);
        free(second);
        char *empty = opaque(memalign(alignment, 0));
        CHECK_WITH(empty != NULL && aligned_to(empty, alignment), alignment / MIB);
        free(empty);
    }
    CHECK_WITH(peak_kib() < 200 * 1024, peak_kib());
    return 0;
}
