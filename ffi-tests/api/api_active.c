// spandrel_is_active is true if the library serves malloc; spandrel_version has three numbers (10).
// run: active
// args: 1
// expect: exit 0
// run: forced_to_libc
// env: SPANDREL_FORCE_LIBC=1
// args: 0
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

int main(int argc, char **argv) {
    CHECK(argc == 2 && spandrel_is_active != NULL && spandrel_version != NULL);
    CHECK(spandrel_is_active() == (argv[1][0] == '1'));
    int major = -1, minor = -1, patch = -1;
    CHECK(
        sscanf(spandrel_version(), "%d.%d.%d", &major, &minor, &patch) == 3 && major >= 0 && minor >= 0 && patch >= 0);
    return 0;
}
