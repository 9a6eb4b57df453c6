// A program loads a plugin, and each frees what the other allocated: one allocator serves the whole process. The
// program is linked with Spandrel; the plugin was built without it.
// Run it: make -C examples plugin
// Prints:
//   the host made "names": the plugin frees it
//   the plugin made "NAMES": the host frees it
//   both were blocks of Spandrel
#include <dlfcn.h>
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The plugin takes the text over, and returns a text that the caller frees.
typedef char *(*transform)(char *text);

int main(int count, char **arguments) {
    if (count != 2) return 2;
    void *plugin = dlopen(arguments[1], RTLD_NOW);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    transform upper;
    // A function pointer from dlsym, as POSIX has it.
    *(void **)&upper = dlsym(plugin, "plugin_upper");
    if (upper == NULL) return 1;

    char *text = strdup("names");
    int lane = spandrel_lane_of_pointer(text);
    printf("the host made \"%s\": the plugin frees it\n", text);
    char *result = upper(text);
    printf("the plugin made \"%s\": the host frees it\n", result);
    if (lane == SPANDREL_LANE_SMALL && spandrel_lane_of_pointer(result) == SPANDREL_LANE_SMALL)
        puts("both were blocks of Spandrel");
    free(result);
    dlclose(plugin);
    return 0;
}
