// Call stacks of code with frame pointers and tables are the same.
// expect: exit 0
// flags: -O1 -fno-omit-frame-pointer
// variants: preload linked static
#include "stack_shared.h"

int main(void) { return run_all(); }
