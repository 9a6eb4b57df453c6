// A signal handler on an alternate stack with little room, and a gap below it: an overflow ends the program.
#ifndef SMALL_STACK_H
#define SMALL_STACK_H

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "check.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

// `handler` gets `number` on a stack with `room` bytes beside the kernel's frame.
static inline void handle_on_small_stack(int number, void (*handler)(int), size_t room) {
    const size_t gap = 64 * KIB;
    size_t frame = getauxval(AT_MINSIGSTKSZ), size = (frame != 0 ? frame : (size_t)MINSIGSTKSZ) + room;
    char *low = mmap(NULL, gap + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED && mprotect(low, gap, PROT_NONE) == 0);
    stack_t small = {.ss_sp = low + gap, .ss_size = size};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&small, NULL) == 0 && sigaction(number, &action, NULL) == 0);
}

#endif
