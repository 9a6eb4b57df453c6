// Says what of the process is resident and locked after its first malloc, in KiB.
#include "check.h"

static long status(const char *name) {
    static char text[8192];
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    const char *line = strstr(text, name);
    CHECK(line != NULL);
    return strtol(line + strlen(name), NULL, 10);
}

int main(void) {
    free(opaque(malloc(100)));
    printf("resident=%ld locked=%ld\n", status("VmRSS:"), status("VmLck:"));
    return 0;
}
