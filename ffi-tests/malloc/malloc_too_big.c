// Sizes above PTRDIFF_MAX are refused with ENOMEM by every call, and the process goes on.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

#define REFUSED(call) (errno = 0, opaque(call) == NULL && errno == ENOMEM)

int main(void) {
    const size_t sizes[] = {
        (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 4096, SIZE_MAX - 4096, SIZE_MAX - 15, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = opaque_size(sizes[i]);
        CHECK_WITH(REFUSED(malloc(size)), i);
        CHECK_WITH(REFUSED(calloc(1, size)), i);
        CHECK_WITH(REFUSED(calloc(size, 1)), i);
        CHECK_WITH(REFUSED(realloc(NULL, size)), i);
        CHECK_WITH(REFUSED(reallocarray(NULL, size, 1)), i);
        CHECK_WITH(REFUSED(memalign(64, size)), i);
        CHECK_WITH(REFUSED(aligned_alloc(4096, size)), i);
        CHECK_WITH(REFUSED(valloc(size)), i);
        CHECK_WITH(REFUSED(pvalloc(size)), i);
        void *kept = opaque(&kept);
        CHECK_WITH(posix_memalign(&kept, 64, size) == ENOMEM && kept == &kept, i);
    }
    CHECK(REFUSED(malloc(PTRDIFF_MAX)));
    CHECK(REFUSED(malloc((size_t)1 << 62)));
    void *ptr = opaque(malloc(100));
    CHECK(ptr != NULL);
    free(ptr);
    return 0;
}
