// A misuse in a signal handler is reported with a stack that leads through the handler to the interrupted function, on
// an alternate stack with room for 6 KiB beside the kernel's frame. Below that stack lies a gap, so an overflow ends
// the program before the line.
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: : free(0x … it points into a program or library
// stack: (on_signal+
// says: spandrel:    … stack_in_handler … (interrupted+
// flags: -rdynamic -Wl,-z,now
// variants: preload linked static
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "check.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ROOM (6 * KIB)
#define GAP (64 * KIB)

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
    size_t frame = getauxval(AT_MINSIGSTKSZ), size = (frame != 0 ? frame : (size_t)MINSIGSTKSZ) + ROOM;
    char *low = mmap(NULL, GAP + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED && mprotect(low, GAP, PROT_NONE) == 0);
    stack_t small = {.ss_sp = low + GAP, .ss_size = size};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&small, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    free(opaque(malloc(10)));
    interrupted();
    return 0;
}
