// Where libc or a provider serves the process there are no heaps: creating one is refused with ENOTSUP, the default
// heap serves as malloc does, and nothing else breaks.
// expect: exit 0
// variants: preload linked static
// run: force_libc
// env: SPANDREL_FORCE_LIBC=1
// run: libc
// env: SPANDREL_MODE=libc
// run: plugin
// env: SPANDREL_PLUGIN=$FFI_OUT/helper_alloc_plugin.so
#include "heaps.h"

int main(void) {
    struct spandrel_heap_options options = {.name = "never"};
    errno = 0;
    CHECK(spandrel_heap_create(&options) == NULL && errno == ENOTSUP);
    CHECK(spandrel_heap_current() == NULL && spandrel_heap_list(NULL, 0) == 0);
    CHECK(spandrel_heap_use(NULL) == NULL);
    struct held block;
    held_fill(&block, spandrel_heap_malloc(NULL, 1000), 1000, 1);
    CHECK(spandrel_heap_of(block.at) == NULL);
    unsigned char *grown = opaque(spandrel_heap_realloc(NULL, block.at, 100000));
    CHECK(grown != NULL && holds(grown, 1000, 1));
    free(grown);
    unsigned char *zeroed = opaque(spandrel_heap_calloc(NULL, 10, 100));
    CHECK(zeroed != NULL && all_zero(zeroed, 1000));
    free(zeroed);
    void *aligned = opaque(spandrel_heap_aligned_alloc(NULL, 4096, 100));
    CHECK(aligned != NULL && aligned_to(aligned, 4096));
    free(aligned);
    churn(1, 1000, 100, 5000);
    return 0;
}
