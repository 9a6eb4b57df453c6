// An object opened with RTLD_DEEPBIND uses the program's allocator all the same, so each may free the other's blocks
// (7, 6). The option leaves the flag: then the object has libc's malloc, whose blocks the program may free and resize.
// dlopen searches the RUNPATH of the calling object.
// run: cleared
// args: spandrel
// expect: exit 0
// run: kept
// args: libc
// env: SPANDREL_DEEPBIND=keep
// expect: exit 0
// run: libc_serves
// args: libc
// env: SPANDREL_MODE=libc
// expect: exit 0
// run: malformed
// args: spandrel
// env: SPANDREL_DEEPBIND=yes
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// variants: preload linked
// flags: -Wl,-rpath,$ORIGIN:$ORIGIN/.. -Wl,--enable-new-dtags
#include <dlfcn.h>
#include "spandrel_weak.h"
#include "threads.h"

typedef void *Allocate(size_t);
typedef void *Resize(void *, size_t);
typedef void Free(void *);

static void *open_in_thread(void *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    CHECK(handle != NULL);
    return handle;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const bool ours = strcmp(argv[1], "spandrel") == 0;
    CHECK(dlopen("helper_there_is_none.so", RTLD_NOW | RTLD_DEEPBIND) == NULL &&
        strstr(dlerror(), "there_is_none") != NULL);
    // A name without a slash: RUNPATH, which holds only if the call seems to come from this program.
    void *handle = dlopen("helper_plugin.so", RTLD_NOW | RTLD_DEEPBIND);
    CHECK(handle != NULL);
    CHECK(join(start(open_in_thread, "helper_plugin.so")) == handle);
    Allocate *allocate = (Allocate *)dlsym(handle, "plugin_allocate");
    Resize *resize = (Resize *)dlsym(handle, "plugin_resize");
    Free *release = (Free *)dlsym(handle, "plugin_free");
    for (size_t size = 1; size < 10 * MIB; size = size * 3 / 2 + 1) {
        char *block = opaque(allocate(size));
        CHECK(block != NULL);
        CHECK_WITH((spandrel_lane_of_pointer(block) != SPANDREL_LANE_LIBC) == ours, size);
        block[0] = 7;
        CHECK(malloc_usable_size(block) >= size);
        block = opaque(realloc(block, size + 1000));
        CHECK(block != NULL && block[0] == 7);
        free(block);
        free(opaque(allocate(size)));
        if (!ours) continue;
        block = opaque(malloc(size));
        block[0] = 8;
        block = opaque(resize(block, size + 1000));
        CHECK(block != NULL && block[0] == 8);
        release(block);
        release(opaque(malloc(size)));
    }
    CHECK(dlclose(handle) == 0);
    return 0;
}
