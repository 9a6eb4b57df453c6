// Opens an object with RTLD_DEEPBIND, has it call its malloc and free once, and waits until its input ends. Without an
// argument it waits alone.
#include <dlfcn.h>
#include "check.h"

int main(int argc, char **argv) {
    char byte;
    if (argc > 1) {
        void *handle = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
        CHECK(handle != NULL);
        void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(handle, "plugin_allocate");
        void (*release)(void *) = (void (*)(void *))dlsym(handle, "plugin_free");
        release(allocate(100));
    }
    void *held = opaque(malloc(100));
    printf("ready %p\n", held);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) continue;
    return 0;
}
