// free of a pointer that no allocator returned: one line with a stable code, then the policy (6). Under `report` and
// `ignore` the process goes on unharmed.
// run: stack
// args: free stack
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … it points into the stack
// run: static
// args: free static
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … it points into a program or library
// run: code
// args: free code
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … it points into a program or library
// run: low
// args: free low
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … no memory is there
// run: non_canonical
// args: free non_canonical
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: all_ones
// args: free all_ones
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: kernel_half
// args: free kernel_half
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: unmapped
// args: free unmapped
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … no memory is there
// run: own_mapping
// args: free own_mapping
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: ALLOCATOR_INVALID_POINTER: free(0x … no allocator of this process made it
// run: beyond_heap
// args: free beyond_heap
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: report
// args: free stack
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: report_unmapped
// args: free unmapped
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: ignore
// args: free stack
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
// run: ignore_non_canonical
// args: free non_canonical
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
// run: realloc
// args: realloc stack
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: realloc_report
// args: realloc non_canonical
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: usable
// args: usable stack
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: usable_report
// args: usable unmapped
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
#include <sys/mman.h>
#include "check.h"

int main(int argc, char **argv) {
    static _Alignas(64) char in_data[256] = {1};
    _Alignas(64) char on_stack[256] = {1};
    CHECK(argc == 3);
    const char *what = argv[2];
    char *heap = opaque(malloc(100)),
         *mapped = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *wrong = NULL;
    if (!strcmp(what, "stack")) wrong = on_stack + 64;
    if (!strcmp(what, "static")) wrong = in_data + 64;
    if (!strcmp(what, "code")) wrong = (char *)((uintptr_t)main & ~(uintptr_t)15);
    if (!strcmp(what, "low")) wrong = (char *)16;
    if (!strcmp(what, "non_canonical")) wrong = (char *)0xdeadbeefdeadbee0;
    if (!strcmp(what, "all_ones")) wrong = (char *)~(uintptr_t)15;
    if (!strcmp(what, "kernel_half")) wrong = (char *)0xffff888000000010;
    if (!strcmp(what, "own_mapping")) wrong = mapped + 4096;
    if (!strcmp(what, "beyond_heap")) wrong = heap + ((size_t)64 << 20);
    if (!strcmp(what, "unmapped")) {
        CHECK(munmap(mapped, 65536) == 0);
        wrong = mapped + 4096;
    }
    CHECK(wrong != NULL);
    wrong = opaque(wrong);
    if (!strcmp(argv[1], "free")) free(wrong);
    if (!strcmp(argv[1], "realloc")) CHECK(opaque(realloc(wrong, 500)) == NULL);
    if (!strcmp(argv[1], "usable")) CHECK(malloc_usable_size(wrong) == 0);
    CHECK(in_data[0] == 1 && on_stack[0] == 1);
    free(heap);
    free(opaque(malloc(100)));
    return 0;
}
