// A plugin that lacks a function.
#include <stddef.h>

void *spandrel_plugin_malloc(size_t size) { return size == 0 ? NULL : NULL; }
