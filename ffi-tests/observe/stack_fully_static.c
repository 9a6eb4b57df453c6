// Call stacks of a program without a dynamic linker are found by its own table, if it was linked with one.
// expect: exit 0
// flags: -O2 -static -Wl,--eh-frame-hdr
// only: static
#include "stack_shared.h"

int main(void) { return run_all(); }
