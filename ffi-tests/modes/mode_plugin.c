// A plugin named in the environment serves the calls; one that lacks a function, is no object, or is not there gets one
// line, and the process goes on without.
// run: serves
// args: yes
// env: SPANDREL_PLUGIN=$FFI_OUT/helper_alloc_plugin.so
// expect: exit 0
// run: lacking
// args: no
// env: SPANDREL_PLUGIN=$FFI_OUT/helper_alloc_plugin_lacking.so
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// says: it has no spandrel_plugin_free
// run: not_there
// args: no
// env: SPANDREL_MODE=custom
// env: SPANDREL_PLUGIN=/no/such/file.so
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// says: /no/such/file.so … No such file
// run: no_object
// args: no
// env: SPANDREL_PLUGIN=/etc/passwd
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// says: /etc/passwd … Spandrel serves
// run: no_path
// args: no
// env: SPANDREL_PLUGIN=plugin
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// run: other_mode
// args: no
// env: SPANDREL_MODE=counting
// env: SPANDREL_PLUGIN=$FFI_OUT/helper_alloc_plugin.so
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// variants: preload linked
// flags: -ldl
#include "threads.h"
#include "spandrel_weak.h"
#include <dlfcn.h>

static void *work(void *unused) {
    for (int i = 1; i < 2000; i++) {
        char *block = opaque(malloc((size_t)i));
        fill(block, (size_t)i, (size_t)i);
        block = opaque(realloc(block, (size_t)i * 2));
        CHECK(holds(block, (size_t)i, (size_t)i));
        free(block);
        free(opaque(aligned_alloc(64, 128)));
        free(opaque(calloc(3, (size_t)i)));
    }
    return unused;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    for (int i = 0; i < 3; i++) join(start(work, NULL));
    work(NULL);
    if (strcmp(argv[1], "no") == 0) return 0;
    char path[4096];
    snprintf(path, sizeof path, "%s/helper_alloc_plugin.so", getenv("FFI_OUT"));
    void *plugin = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    CHECK(plugin != NULL);
    size_t (*made)(void) = (size_t (*)(void))dlsym(plugin, "plugin_blocks");
    size_t (*mistakes)(void) = (size_t (*)(void))dlsym(plugin, "plugin_mistakes");
    CHECK_WITH(made() > 4 * 2000 * 3, made());
    CHECK(mistakes() == 0);
    return 0;
}
