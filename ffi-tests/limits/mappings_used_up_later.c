// A heap grows in a process that has as many mappings as vm.max_map_count allows: that moves borders, and cuts no mapping.
// expect: exit 0
// timeout: 60
#include <sys/mman.h>
#include "check.h"

enum { HELD = 4000 };

static void *held[HELD];

// Blocks of every class and of some larger sizes, `bytes` of them at most.
static void hold(size_t bytes) {
    size_t sum = 0;
    for (size_t i = 0; i < HELD && sum < bytes; i++) {
        size_t size = i % 50 == 0 ? 40000 + i * 100 : 1 + i * 37 % 32768;
        held[i] = opaque(malloc(size));
        CHECK_WITH(held[i] != NULL, i);
        fill(held[i], size, i);
        sum += size;
    }
}

static void drop(void) {
    for (size_t i = 0; i < HELD; i++) {
        free(held[i]);
        held[i] = NULL;
    }
}

int main(void) {
    hold(8 * MIB);
    drop();
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size_t)1 << 21, made = 0;
    char *area = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED);
    while (made < pages && mprotect(area + made * page, page, PROT_READ) == 0) made += 2;
    CHECK_WITH(made < pages && errno == ENOMEM, made);
    for (int i = 0; mmap(NULL, page, i % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; i++) CHECK(i < 100);
    hold((size_t)-1);
    CHECK(munmap(area, pages * page) == 0);
    for (size_t i = 0; i < HELD; i++) CHECK_WITH(holds(held[i], 1, i), i);
    drop();
    return 0;
}
