// spandrel_good_size(n) is the usable size malloc(n) gives; spandrel_alloc_at_least reports the same; both cover n.
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

static void check_size(size_t size) {
    size_t promised = spandrel_good_size(size), usable = 0;
    void *block = opaque(malloc(size));
    CHECK_WITH(block != NULL && malloc_usable_size(block) == promised && promised >= size, size);
    CHECK_WITH(spandrel_good_size(promised) == promised, size);
    free(block);
    unsigned char *more = opaque(spandrel_alloc_at_least(size, &usable));
    CHECK_WITH(more != NULL && usable >= size && usable == malloc_usable_size(more), size);
    more[usable ? usable - 1 : 0] = 1;
    free_sized(more, usable);
}

int main(void) {
    for (size_t size = 0; size <= 40000; size++) check_size(size);
    for (size_t size = 40001; size < 100 * MIB; size += size / 7) check_size(size);
    size_t usable = 7;
    errno = 0;
    CHECK(opaque(spandrel_alloc_at_least(opaque_size(SIZE_MAX / 2 + 1), &usable)) == NULL && errno == ENOMEM);
    return 0;
}
