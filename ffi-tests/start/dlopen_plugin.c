// A shared object that mallocs in its constructor and frees in its destructor, loaded and unloaded again and again (5).
// expect: exit 0
// variants: preload linked glibc
#include <dlfcn.h>
#include "threads.h"

static void *cycle(void *path) {
    for (int i = 0; i < 50; i++) {
        void *handle = dlopen(path, RTLD_NOW);
        CHECK(handle != NULL);
        void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(handle, "plugin_allocate");
        void (*release)(void *) = (void (*)(void *))dlsym(handle, "plugin_free");
        CHECK(allocate != NULL && release != NULL && dlsym(handle, "no_such_name") == NULL);
        CHECK(strstr(dlerror(), "no_such_name") != NULL);
        void *ours = opaque(malloc(700)), *theirs = opaque(allocate(700));
        release(ours);
        CHECK(dlclose(handle) == 0);
        free(theirs);
    }
    return NULL;
}

int main(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/helper_plugin.so", getenv("FFI_OUT"));
    cycle(path);
    pthread_t one = start(cycle, path), two = start(cycle, path);
    join(one);
    join(two);
    return 0;
}
