// operator new calls the new_handler and tries again: a handler that frees memory makes the allocation succeed.
// env: SPANDREL_RESERVE=64M
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION x?
// variants: preload linked static glibc
#include <new>
#include <sys/resource.h>
#include "proc.h"

static void *reserve;
static int called;

static void release_reserve() {
    called++;
    CHECK(reserve != nullptr);
    free(reserve);
    reserve = nullptr;
}

int main() {
    reserve = opaque(malloc(400 * MIB));
    rlimit limit{};
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = static_cast<rlim_t>(proc_number("/proc/self/status", "VmSize:")) * KIB + 50 * MIB;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    std::set_new_handler(release_reserve);
    char *block = static_cast<char *>(opaque(operator new(300 * MIB)));
    CHECK_WITH(called == 1, called);
    block[0] = block[300 * MIB - 1] = 1;
    operator delete(block);
    CHECK(std::get_new_handler() == release_reserve);
    return 0;
}
