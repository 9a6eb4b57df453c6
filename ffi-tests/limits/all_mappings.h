// Makes mappings until the process has as many as vm.max_map_count allows.
#ifndef ALL_MAPPINGS_H
#define ALL_MAPPINGS_H

#include <sys/mman.h>
#include "check.h"

enum { MAPPED_PAGES = 1 << 21 };

// An area that most of the mappings are made of; `release_mappings` removes them. Allocates nothing.
static inline char *use_up_mappings(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), made = 0;
    char *area = mmap(NULL, MAPPED_PAGES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED);
    // Every other page gets a mapping of its own.
    while (made < MAPPED_PAGES && mprotect(area + made * page, page, PROT_READ) == 0) made += 2;
    CHECK_WITH(made < MAPPED_PAGES && errno == ENOMEM, made);
    // The last few, one by one: neighbours of different access do not merge.
    int few = 0;
    while (mmap(NULL, page, few % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        CHECK(few++ < 100);
    return area;
}

static inline void release_mappings(char *area) {
    CHECK(munmap(area, MAPPED_PAGES * (size_t)sysconf(_SC_PAGESIZE)) == 0);
}

#endif
