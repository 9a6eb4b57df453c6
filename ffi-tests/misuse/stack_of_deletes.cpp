// A misuse of C++'s delete is reported by the form that was written, with the stack of the call.
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// flags: -O2 -rdynamic
// variants: preload linked static
// run: plain
// args: plain
// says: : delete(0x
// stack: (release+ … (main+
// run: array
// args: array
// says: : delete[](0x
// stack: (release+ … (main+
// run: array_hardened
// args: array
// env: SPANDREL_MODE=hardened
// says: : delete[](0x
// stack: (release+ … (main+
// run: sized
// args: sized
// says: : sized delete(0x
// stack: (release+ … (main+
// run: sized_array
// args: sized_array
// says: : sized delete[](0x
// stack: (release+ … (main+
// run: aligned
// args: aligned
// says: : aligned delete(0x
// stack: (release+ … (main+
// run: sized_aligned
// args: sized_aligned
// says: : sized aligned delete(0x
// stack: (release+ … (main+
// run: nothrow
// args: nothrow
// says: : nothrow delete(0x
// stack: (release+ … (main+
// run: jumped
// args: jumped
// says: : sized delete(0x
// stack: (delete_at_end+ … (release+ … (main+
// run: mismatch
// args: mismatch
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// says: : sized delete(0x … the size named cannot be that of the block
// stack: (release+ … (main+
// run: hardened
// args: array
// env: SPANDREL_MODE=hardened
// stack: (release+ … (main+
#include <new>
#include "check.h"

#define SEEN extern "C" __attribute__((noinline, noclone))

struct Thing {
    char bytes[40];
};

SEEN void delete_at_end(Thing *thing) { delete thing; }

SEEN void release(const char *how, void *block) {
    if (strcmp(how, "plain") == 0) operator delete(block);
    else if (strcmp(how, "array") == 0) operator delete[](block);
    else if (strcmp(how, "sized") == 0) operator delete(block, sizeof(Thing));
    else if (strcmp(how, "sized_array") == 0) operator delete[](block, sizeof(Thing));
    else if (strcmp(how, "aligned") == 0) operator delete(block, std::align_val_t(16));
    else if (strcmp(how, "sized_aligned") == 0) operator delete(block, sizeof(Thing), std::align_val_t(16));
    else if (strcmp(how, "nothrow") == 0) operator delete(block, std::nothrow);
    else if (strcmp(how, "jumped") == 0) delete_at_end(static_cast<Thing *>(block));
    else operator delete(block, (size_t)3000);
    barrier();
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    void *block = opaque(operator new(sizeof(Thing)));
    if (strcmp(argv[1], "mismatch") != 0) operator delete(block);
    release(argv[1], opaque(block));
    barrier();
    return 0;
}
