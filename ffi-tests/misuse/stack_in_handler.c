// A misuse in a signal handler is reported with a stack that leads through the handler to the interrupted function, on
// an alternate stack with room for 6 KiB beside the kernel's frame. Below that stack lies a gap, so an overflow ends
// the program before the line.
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: : free(0x … it points into a program or library
// stack: (on_signal+
// says: spandrel:    … stack_in_handler … (interrupted+
// flags: -rdynamic -Wl,-z,now
// variants: preload linked static
#include "check.h"
#include "small_stack.h"

_Alignas(16) static char global[64];

void on_signal(int number) {
    (void)number;
    free(opaque(global));
    barrier();
}

__attribute__((noinline, noclone)) void interrupted(void) {
    CHECK(raise(SIGUSR1) == 0);
    barrier();
}

int main(void) {
    handle_on_small_stack(SIGUSR1, on_signal, 6 * KIB);
    free(opaque(malloc(10)));
    interrupted();
    return 0;
}
