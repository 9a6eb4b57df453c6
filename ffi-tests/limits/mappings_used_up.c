// A process that has as many mappings as vm.max_map_count allows is told that this is why there is no memory; libc helps out.
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION|ALLOCATOR_EXHAUSTION x2
// timeout: 60
#include <sys/mman.h>
#include "check.h"

int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size_t)1 << 21, made = 0;
    char *area = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED);
    // Every other page gets a mapping of its own. Nothing was allocated before.
    while (made < pages && mprotect(area + made * page, page, PROT_READ) == 0) made += 2;
    CHECK_WITH(made < pages && errno == ENOMEM, made);
    // The last few, one by one: neighbours of different access do not merge.
    for (int i = 0; mmap(NULL, page, i % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; i++) CHECK(i < 100);
    for (int i = 0; i < 100; i++) free(opaque(malloc(100)));
    CHECK(munmap(area, pages * page) == 0);
    void *large = opaque(malloc(40 * MIB));
    CHECK(large != NULL);
    free(large);
    return 0;
}
