// RLIMIT_AS: the program starts and runs; exhaustion gives NULL and ENOMEM; after the frees malloc works again (27).
// run: 64M
// args: 64
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// run: 128M
// args: 128
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// run: 384M
// args: 384
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// variants: preload linked static
#include "resource_limits.h"

int main(int argc, char **argv) { return survive_limit(argc, argv, RLIMIT_AS); }
