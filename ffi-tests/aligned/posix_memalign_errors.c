// posix_memalign returns EINVAL for alignments that are no power of two or no multiple of sizeof(void*), and leaves
// errno alone. Without memory it returns ENOMEM and sets errno, too, as glibc's does. *p stays untouched.
// expect: exit 0
// variants: preload linked static glibc
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
    const size_t much[][2] = {
        {8, SIZE_MAX - 100}, {(size_t)1 << 63, 100}, {(size_t)1 << 62, 100}, {64, PTRDIFF_MAX}, {64, (size_t)1 << 46}};
    for (size_t i = 0; i < sizeof much / sizeof much[0]; i++) {
        errno = 55;
        CHECK_WITH(posix_memalign(&kept, opaque_size(much[i][0]), opaque_size(much[i][1])) == ENOMEM, i);
        CHECK_WITH(kept == &marker && errno == ENOMEM, i);
    }
    errno = 55;
    CHECK(posix_memalign(&kept, 64, 0) == 0 && kept != &marker && errno == 55 && aligned_to(kept, 64));
    free(kept);
    return 0;
}
