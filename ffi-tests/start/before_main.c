// Constructors that run before main, the earliest priority and .preinit_array among them, allocate; main frees (1).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

static char *early[3], *grown;

static void preinit(void) {
    early[0] = malloc(100);
    fill(early[0], 100, 0);
    grown = malloc(10);
    fill(grown, 10, 9);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void first(void) {
    fill(early[1] = malloc(40000), 40000, 1);
    grown = realloc(grown, 5000);
}

__attribute__((constructor)) static void second(void) { fill(early[2] = calloc(1, 35 * MIB), 100, 2); }

int main(void) {
    CHECK(holds(early[0], 100, 0) && holds(early[1], 40000, 1) && holds(early[2], 100, 2) && holds(grown, 10, 9));
    CHECK(malloc_usable_size(early[0]) >= 100 && malloc_usable_size(early[1]) >= 40000);
    grown = opaque(realloc(grown, 100000));
    CHECK(holds(grown, 10, 9));
    for (int i = 0; i < 3; i++) free(early[i]);
    free(grown);
    return 0;
}
