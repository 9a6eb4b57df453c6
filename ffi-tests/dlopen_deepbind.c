// An object loaded with RTLD_DEEPBIND takes malloc from libc; its blocks, freed and resized by the program, go home (7, 6).
// expect: exit 0
// variants: preload linked glibc
#include <dlfcn.h>
#include "check.h"

int main(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/helper_plugin.so", getenv("FFI_OUT"));
    void *handle = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    CHECK(handle != NULL);
    void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(handle, "plugin_allocate");
    for (size_t size = 1; size < 10 * MIB; size = size * 3 / 2 + 1) {
        char *block = opaque(allocate(size));
        CHECK(block != NULL);
        block[0] = 7;
        CHECK(malloc_usable_size(block) >= size);
        block = opaque(realloc(block, size + 1000));
        CHECK(block != NULL && block[0] == 7);
        free(block);
        free(opaque(allocate(size)));
    }
    return 0;
}
