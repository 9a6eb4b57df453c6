// Call stacks of code without frame pointers, as distributions compile it, are found by the tables that every object
// has.
// expect: exit 0
// flags: -O2 -fomit-frame-pointer
// variants: preload linked static
#include "stack_shared.h"

int main(void) { return run_all(); }
