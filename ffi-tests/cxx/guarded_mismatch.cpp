// Mode guarded knows which kind of call made a block, and reports one of another kind that frees it, with the stacks of
// both. Blocks that go back as they came are left alone, in all forms of new and delete.
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=1
// run: right
// args: right
// expect: exit 0
// run: array_by_free
// args: array_by_free
// expect: signal SIGABRT stderr ALLOCATOR_CALL_MISMATCH
// says: free(0x … another kind of call made the block (freed block of 40 bytes
// says: made by new[])
// says: spandrel: guarded: allocated by thread
// run: malloc_by_delete
// args: malloc_by_delete
// expect: signal SIGABRT stderr ALLOCATOR_CALL_MISMATCH
// says: delete(0x … another kind of call made the block
// says: made by malloc)
// run: array_by_delete
// args: array_by_delete
// expect: signal SIGABRT stderr ALLOCATOR_CALL_MISMATCH
// says: made by new[])
// run: new_by_realloc
// args: new_by_realloc
// expect: signal SIGABRT stderr ALLOCATOR_CALL_MISMATCH
// says: realloc(0x … made by new)
// run: reported
// args: array_by_free
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_CALL_MISMATCH
// run: unasked
// args: array_by_free
// env: SPANDREL_GUARDED_MISMATCH=0
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

// The compiler must neither see what is freed nor drop the pair.
__attribute__((noinline)) static void *array() { return opaque(::operator new[](40)); }
__attribute__((noinline)) static void *single() { return opaque(::operator new(40)); }
__attribute__((noinline)) static void *of_c() { return opaque(std::malloc(40)); }

static void right() {
    for (int i = 0; i < 40; i++) {
        ::operator delete[](array());
        ::operator delete(single());
        std::free(of_c());
        ::operator delete(single(), 40);
        ::operator delete[](array(), 40);
        auto align = std::align_val_t{64};
        ::operator delete(opaque(::operator new(50, align)), align);
        ::operator delete[](opaque(::operator new[](50, align)), align);
        ::operator delete[](opaque(::operator new[](50, std::nothrow)), std::nothrow);
        std::free(opaque(std::realloc(opaque(std::calloc(2, 20)), 90)));
        std::vector<std::string> strings(10, std::string(50, 'x'));
        std::unique_ptr<int[]> numbers(new int[30]);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *what = argv[1];
    if (std::strcmp(what, "right") == 0) right();
    if (std::strcmp(what, "array_by_free") == 0) std::free(array());
    if (std::strcmp(what, "malloc_by_delete") == 0) ::operator delete(of_c());
    if (std::strcmp(what, "array_by_delete") == 0) ::operator delete(array());
    if (std::strcmp(what, "new_by_realloc") == 0) std::free(opaque(std::realloc(single(), 4000)));
    return 0;
}
