// A shared object that allocates in its constructor and frees in its destructor; used by the dlopen programs.
#include "check.h"

static void *kept[100];

__attribute__((constructor)) static void begin(void) {
    for (size_t i = 0; i < 100; i++) memset(kept[i] = malloc(i * 37 + 1), 1, i * 37 + 1);
}

__attribute__((destructor)) static void end(void) {
    for (size_t i = 0; i < 100; i++) free(kept[i]);
    free(malloc(100000));
}

void *plugin_allocate(size_t size) { return malloc(size); }
void *plugin_resize(void *ptr, size_t size) { return realloc(ptr, size); }
void plugin_free(void *ptr) { free(ptr); }
