// free, realloc and malloc_usable_size refuse every pointer at which no block starts, at the call: own blocks and those of
// another thread, of classes whose spans are one region and several, large ones, with a batch for the owner open or not.
// run: class_8
// args: 8
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// run: class_48
// args: 48
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// run: class_1024
// args: 1024
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// run: two_regions
// args: 3072
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// run: fifteen_regions
// args: 30000
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// run: power_of_two
// args: 16384
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x8
// variants: preload linked static
#include "threads.h"
#include "spandrel_weak.h"

static size_t size;

// Lines may come at these calls and at no others.
static void refuse_all(unsigned char *block) {
    size_t usable = malloc_usable_size(block);
    size_t wrong[] = {4, usable / 2 + (usable == 8 ? 1 : 0)};
    for (int i = 0; i < 2; i++) {
        free(opaque(block + wrong[i]));
        if (i == 1) continue;
        errno = 0;
        CHECK(realloc(opaque(block + wrong[i]), 2 * usable) == NULL && errno == EINVAL);
        CHECK(malloc_usable_size(opaque(block + wrong[i])) == 0);
    }
}

static void *elsewhere(void *block) {
    // The first free of a block of that owner opens a batch, so that the others join it.
    void **blocks = block;
    free(blocks[1]);
    refuse_all(blocks[0]);
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size = strtoull(argv[1], NULL, 10);
    void *blocks[2] = {opaque(malloc(size)), opaque(malloc(size))};
    void *keep = opaque(malloc(size));
    CHECK(blocks[0] != NULL && blocks[1] != NULL && keep != NULL);
    fill(blocks[0], size, 1);
    refuse_all(blocks[0]);
    join(start(elsewhere, blocks));
    CHECK(holds(blocks[0], size, 1));
    free(blocks[0]);
    spandrel_collect(true);
    void *others[200];
    for (int i = 0; i < 200; i++) {
        others[i] = opaque(malloc(size));
        CHECK(others[i] != keep);
        for (int j = 0; j < i; j++) CHECK(others[i] != others[j]);
    }
    return 0;
}
