// Something lies right behind the program break, so libc's main arena goes elsewhere: its blocks are still libc's (6).
// expect: exit 0
// variants: preload linked
#include <sys/mman.h>
#include "check.h"

int main(void) {
    free(opaque(malloc(1)));
    uintptr_t wall = ((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095;
    CHECK(
        mmap((void *)wall, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)wall);
    char *blocks[300];
    for (int i = 0; i < 300; i++) CHECK((blocks[i] = opaque(__libc_malloc(1000))) != NULL);
    for (int i = 0; i < 300; i++) free(blocks[i]);
    return 0;
}
