// A heap has the name, the limits and the flags that it was made with; options that contradict one another are refused,
// and figures are filled for the size that the caller knows.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: guarded
// env: SPANDREL_MODE=guarded
#include "heaps.h"

static void check_name(const char *name, const char *wanted) {
    struct spandrel_heap_options options = {.name = name};
    spandrel_heap_t *heap = spandrel_heap_create(&options);
    CHECK(heap != NULL);
    CHECK(strcmp(bill_of(heap).name, wanted) == 0);
    destroy(heap);
}

static void check_names(void) {
    char longest[SPANDREL_HEAP_NAME_MAX + 1], longer[100];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    memset(longer, 'n', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    check_name("tenant 1", "tenant 1");
    check_name(NULL, "heap");
    check_name(longest, longest);
    check_name(longer, longest);
    // The name is copied.
    char own[] = "before";
    spandrel_heap_t *heap = heap_new(own, 0, 0);
    strcpy(own, "behind");
    CHECK(strcmp(bill_of(heap).name, "before") == 0);
    destroy(heap);
}

static void check_refusals(void) {
    struct spandrel_heap_options options = {.name = "x", .flags = 0x80};
    errno = 0;
    CHECK(spandrel_heap_create(&options) == NULL && errno == EINVAL);
    options = (struct spandrel_heap_options){.name = "x", .reserved = {0, 0, 0, 1}};
    errno = 0;
    CHECK(spandrel_heap_create(&options) == NULL && errno == EINVAL);
    options = (struct spandrel_heap_options){.name = "x", .soft_limit = 2 * MIB, .hard_limit = MIB};
    errno = 0;
    CHECK(spandrel_heap_create(&options) == NULL && errno == EINVAL);
    spandrel_heap_t *heap = heap_new("x", 2 * MIB, 0);
    CHECK(spandrel_heap_set_limits(heap, 2 * MIB, MIB) == EINVAL);
    CHECK(bill_of(heap).hard_limit == 2 * MIB && bill_of(heap).soft_limit == 0);
    CHECK(spandrel_heap_set_limits(heap, MIB, 4 * MIB) == 0);
    CHECK(bill_of(heap).hard_limit == 4 * MIB && bill_of(heap).soft_limit == MIB);
    CHECK(spandrel_heap_set_limits(heap, 0, 0) == 0);
    CHECK(bill_of(heap).hard_limit == 0 && bill_of(heap).soft_limit == 0);
    destroy(heap);
}

static void check_figures(void) {
    spandrel_heap_t *heap = heap_new("figures", 0, 0);
    struct spandrel_heap_stats bill = bill_of(heap);
    CHECK(bill.live_bytes == 0 && bill.live_blocks == 0 && bill.refusals == 0 && bill.users == 0
        && bill.large_bytes == 0);
    unsigned char part[sizeof bill + 64];
    memset(part, 0xa5, sizeof part);
    CHECK(spandrel_heap_stats(heap, (struct spandrel_heap_stats *)(void *)part, sizeof bill) == 0);
    for (size_t i = sizeof bill; i < sizeof part; i++) CHECK_WITH(part[i] == 0xa5, i);
    memset(part, 0xa5, sizeof part);
    CHECK(spandrel_heap_stats(heap, (struct spandrel_heap_stats *)(void *)part,
        sizeof bill.name + sizeof(size_t)) == 0);
    for (size_t i = sizeof bill.name + sizeof(size_t); i < sizeof part; i++) CHECK_WITH(part[i] == 0xa5, i);
    CHECK(spandrel_heap_stats(heap, (struct spandrel_heap_stats *)(void *)part, sizeof part) == EINVAL);
    CHECK(spandrel_heap_stats(heap, NULL, sizeof bill) == EINVAL);
    destroy(heap);
}

static void check_list(void) {
    enum { COUNT = 40 };
    spandrel_heap_t *made[COUNT], *seen[COUNT + 8];
    CHECK(spandrel_heap_list(NULL, 0) == 0);
    for (int i = 0; i < COUNT; i++) made[i] = heap_new("one of many", 0, 0);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < i; k++) CHECK(made[i] != made[k]);
    CHECK(spandrel_heap_list(NULL, 0) == COUNT);
    memset(seen, 0, sizeof seen);
    CHECK(spandrel_heap_list(seen, COUNT / 2) == COUNT && seen[COUNT / 2] == NULL);
    CHECK(spandrel_heap_list(seen, COUNT + 8) == COUNT && seen[COUNT] == NULL);
    for (int i = 0; i < COUNT; i++) {
        int times = 0;
        for (int k = 0; k < COUNT; k++) times += seen[k] == made[i];
        CHECK_WITH(times == 1, i);
    }
    for (int i = 0; i < COUNT; i += 2) destroy(made[i]);
    CHECK(spandrel_heap_list(seen, COUNT + 8) == COUNT / 2);
    for (int i = 1; i < COUNT; i += 2) CHECK(spandrel_heap_delete(made[i]) == 0);
    CHECK(spandrel_heap_list(seen, COUNT + 8) == 0);
}

int main(void) {
    check_names();
    check_refusals();
    check_figures();
    check_list();
    return 0;
}
