// Tenants: each has a heap and a table of pieces; threads work for one after another, in its heap or from outside, and
// for themselves in a heap that they share. Heaps are destroyed with all that is in them, or deleted, and their pieces
// live on. No bill is ever above its limit.
#include <sys/wait.h>
#include "stress.h"

enum { SERVERS = 5, TENANTS = 48, PIECES = 256, OWN_PIECES = 512, STEPS = 80, FORK_ONE_IN = 12 };

struct tenant {
    pthread_mutex_t lock;
    spandrel_heap_t *heap;
    size_t hard;
    struct table table;
};

static struct tenant all[TENANTS];
static spandrel_heap_t *common;

static void use(spandrel_heap_t *heap) {
    if (spandrel_heap_use(heap) == SPANDREL_HEAP_FAILED) found("use", "a heap that nobody uses cannot be used: errno %d", errno);
}

static void come(struct worker *worker, struct tenant *tenant) {
    tenant->hard = dice(worker) % 3 == 0 ? (size_t)(1 + dice(worker) % 4) * MIB : 0;
    struct spandrel_heap_options options = {.name = "tenant", .hard_limit = tenant->hard};
    if (dice(worker) % 3 == 0) options.flags = SPANDREL_HEAP_SHARED;
    tenant->heap = spandrel_heap_create(&options);
    if (tenant->heap == NULL) found("create", "no heap can be created: errno %d", errno);
}

static void check_bill(const struct tenant *tenant) {
    struct spandrel_heap_stats bill;
    CHECK(spandrel_heap_stats(tenant->heap, &bill, sizeof bill) == 0);
    if (bill.held_bytes != bill.span_bytes + bill.large_bytes)
        found("bill", "%zu bytes are held, %zu in spans and %zu in large blocks", bill.held_bytes, bill.span_bytes, bill.large_bytes);
    if (tenant->hard != 0 && bill.peak_bytes > tenant->hard)
        found("bill", "%zu bytes were held, and %zu are the limit", bill.peak_bytes, tenant->hard);
    size_t live = 0;
    for (size_t i = 0; i < tenant->table.count; i++) {
        const struct piece *piece = &tenant->table.pieces[i];
        if (piece->at != NULL && spandrel_heap_of(piece->at) == tenant->heap) live += piece->usable;
    }
    if (bill.live_bytes < live) found("bill", "%zu bytes are live by the bill, and %zu in fact", bill.live_bytes, live);
}

static void work(struct worker *worker, struct tenant *tenant) {
    worker->may_be_refused = tenant->hard != 0;
    use(tenant->heap);
    for (int i = 0; i < STEPS; i++) {
        table_step(worker, &tenant->table);
        if (i != STEPS / 2 || dice(worker) % 4 != 0) continue;
        // For a while in another heap, above this one.
        use(common);
        struct piece piece = {0};
        if (piece_get(worker, &piece, size_of_small(worker, 8 * KIB))) piece_put(worker, &piece);
        use(tenant->heap);
    }
    use(NULL);
    worker->may_be_refused = false;
}

// In the default heap, on blocks of both. One that grows in place is held to the limit of its own heap.
static void work_outside(struct worker *worker, struct tenant *tenant) {
    worker->may_be_refused = tenant->hard != 0;
    for (int i = 0; i < STEPS; i++) table_step(worker, &tenant->table);
    worker->may_be_refused = false;
}

// The heap's own pieces go with it; pieces that came from elsewhere stay.
static void go(struct worker *worker, struct tenant *tenant) {
    for (size_t i = 0; i < tenant->table.count; i++) {
        struct piece *piece = &tenant->table.pieces[i];
        if (piece->at == NULL || spandrel_heap_of(piece->at) != tenant->heap) continue;
        tenant->table.held -= piece->size;
        piece_forget(worker, piece);
    }
    int error = spandrel_heap_destroy(tenant->heap);
    if (error != 0) found("destroy", "a heap that nobody uses cannot be destroyed: error %d", error);
    tenant->heap = NULL;
}

static void go_softly(struct tenant *tenant) {
    int error = spandrel_heap_delete(tenant->heap);
    if (error != 0) found("delete", "a heap that nobody uses cannot be deleted: error %d", error);
    tenant->heap = NULL;
    for (size_t i = 0; i < tenant->table.count; i++)
        if (tenant->table.pieces[i].at != NULL && spandrel_heap_of(tenant->table.pieces[i].at) != NULL)
            found("delete", "block %p of a deleted heap is not the default heap's", (void *)tenant->table.pieces[i].at);
}

// The child has the heap, and destroys it.
static void fork_off(struct worker *worker, struct tenant *tenant) {
    if (dice(worker) % 2 == 0) use(tenant->heap);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child != 0) {
        use(NULL);
        await_child(child);
        return;
    }
    status_leave();
    alarm(CHILD_PATIENCE);
    worker->may_be_refused = true;
    table_verify(&tenant->table);
    for (int i = 0; i < STEPS; i++) table_step(worker, &tenant->table);
    // Other threads used it in the middle of their calls.
    use(common);
    for (int i = 0; i < STEPS; i++) table_step(worker, &tenant->table);
    use(NULL);
    check_bill(tenant);
    go(worker, tenant);
    table_empty(worker, &tenant->table, 0);
    come(worker, tenant);
    work(worker, tenant);
    go(worker, tenant);
    _exit(0);
}

static void serve(struct worker *worker) {
    struct table own = table_new(OWN_PIECES, 4 * MIB);
    while (!time_is_up()) {
        struct tenant *tenant = &all[dice(worker) % TENANTS];
        pthread_mutex_lock(&tenant->lock);
        if (tenant->heap == NULL) come(worker, tenant);
        switch (dice(worker) % 24) {
        case 0: case 1: go(worker, tenant); break;
        case 2: go_softly(tenant); break;
        case 3: case 4: case 5: work_outside(worker, tenant); break;
        case 6: table_empty(worker, &tenant->table, 4); break;
        case 7: check_bill(tenant); break;
        case 8: if (dice(worker) % FORK_ONE_IN == 0) fork_off(worker, tenant); break;
        default: work(worker, tenant);
        }
        pthread_mutex_unlock(&tenant->lock);
        use(common);
        for (int i = 0; i < STEPS; i++) table_step(worker, &own);
        use(NULL);
    }
    table_empty(worker, &own, 0);
}

void tenants(void) {
    struct spandrel_heap_options options = {.name = "common", .flags = SPANDREL_HEAP_SHARED};
    common = spandrel_heap_create(&options);
    CHECK(common != NULL);
    for (int i = 0; i < TENANTS; i++) {
        CHECK(pthread_mutex_init(&all[i].lock, NULL) == 0);
        all[i].table = table_new(PIECES, 3 * MIB);
    }
    crew_run(SERVERS, serve);
    struct worker last;
    worker_init(&last, 0);
    for (int i = 0; i < TENANTS; i++) {
        if (all[i].heap != NULL) go(&last, &all[i]);
        table_empty(&last, &all[i].table, 0);
    }
    int error = spandrel_heap_destroy(common);
    CHECK_WITH(error == 0 && spandrel_heap_list(NULL, 0) == 0, error);
}
