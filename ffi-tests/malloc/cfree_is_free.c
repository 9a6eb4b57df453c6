// cfree, gone from glibc's headers since 2.26, still frees for old binaries (8).
// expect: exit 0
#include <dlfcn.h>
#include "check.h"

int main(void) {
    void (*old_free)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    CHECK(old_free != NULL);
    errno = 77;
    // Without freeing this would need 16 TiB.
    for (int i = 0; i < 200000; i++) {
        void *block = opaque(malloc(80 * MIB / (i % 2 ? 1 : 1024)));
        CHECK(block != NULL);
        old_free(block);
    }
    old_free(NULL);
    CHECK(errno == 77);
    return 0;
}
