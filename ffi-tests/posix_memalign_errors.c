// posix_memalign: EINVAL for alignments that are no power of two or no multiple of sizeof(void*); errno and *p stay untouched.
// expect: exit 0
// variants: preload linked static
#include "check.h"

int main(void) {
    int marker;
    const size_t bad[] = {0, 1, 2, 3, 4, 6, 7, 9, 12, 24, 48, 100, 4095, 4097, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 7};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        void *kept = &marker;
        errno = 55;
        CHECK_WITH(posix_memalign(&kept, opaque_size(bad[i]), 100) == EINVAL, bad[i]);
        CHECK_WITH(kept == &marker && errno == 55, bad[i]);
    }
    void *kept = &marker;
    CHECK(posix_memalign(&kept, 8, opaque_size(SIZE_MAX - 100)) == ENOMEM && kept == &marker && errno == 55);
    CHECK(posix_memalign(&kept, (size_t)1 << 63, 100) == ENOMEM && kept == &marker && errno == 55);
    CHECK(posix_memalign(&kept, 64, 0) == 0 && kept != &marker && errno == 55 && aligned_to(kept, 64));
    free(kept);
    return 0;
}
