// valloc and pvalloc are page aligned; pvalloc rounds the size up to whole pages and refuses what cannot be rounded.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t sizes[] = {0, 1, 100, page - 1, page, page + 1, 40000, 5 * MIB, 35 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *one = opaque(valloc(sizes[i])), *two = opaque(pvalloc(sizes[i]));
        size_t rounded = (sizes[i] + page - 1) / page * page;
        CHECK_WITH(one != NULL && aligned_to(one, page) && malloc_usable_size(one) >= sizes[i], sizes[i]);
        CHECK_WITH(two != NULL && aligned_to(two, page) && malloc_usable_size(two) >= rounded, sizes[i]);
        memset(two, 1, rounded);
        free(one);
        free(two);
    }
    errno = 0;
    CHECK(opaque(pvalloc(opaque_size(SIZE_MAX - 10))) == NULL && errno == ENOMEM);
    return 0;
}
