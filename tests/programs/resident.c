// Prints how much of the process is resident, and how much locked, after its first malloc, in KiB.
#include "proc.h"

static long status(const char *name) { return proc_number("/proc/self/status", name); }

int main(void) {
    free(opaque(malloc(100)));
    printf("resident=%ld locked=%ld\n", status("VmRSS:"), status("VmLck:"));
    return 0;
}
