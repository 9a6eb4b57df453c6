// A server with a heap for each tenant, with a name and a limit: the tenant's requests are served from it, one that asks
// for too much is refused alone, and one that leaves goes with all its memory.
// Run it: make -C examples tenants
// Prints:
//   atlas: 1000 sessions, 96000 bytes in 1000 blocks
//   birch: 250 sessions, 24000 bytes in 250 blocks
//   cedar is refused at 4 MiB: it holds 4 MiB, and 1 request failed
//   cedar is gone: 2 heaps are left
//   atlas: 1000 sessions, 96000 bytes in 1000 blocks
//   a report of 64 KiB passed from birch to the server: nothing of birch is left but its sessions
// Says: ALLOCATOR_HEAP_LIMIT
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

struct session {
    struct session *next;
    char text[88];
};

struct tenant {
    spandrel_heap_t *heap;
    struct session *sessions;
};

static struct tenant join(const char *name) {
    struct spandrel_heap_options options = {.name = name, .hard_limit = 4 * MIB};
    struct tenant tenant = {spandrel_heap_create(&options), NULL};
    if (tenant.heap == NULL) {
        perror(name);
        exit(1);
    }
    return tenant;
}

// Serves a request: all that it asks for, here and in every library that it calls, is the tenant's.
static int serve(struct tenant *tenant, size_t sessions) {
    spandrel_heap_t *before = spandrel_heap_use(tenant->heap);
    if (before == SPANDREL_HEAP_FAILED) return 0;
    size_t made = 0;
    while (made < sessions) {
        struct session *session = malloc(sizeof *session);
        if (session == NULL) break;
        snprintf(session->text, sizeof session->text, "session %zu", made++);
        session->next = tenant->sessions;
        tenant->sessions = session;
    }
    spandrel_heap_use(before);
    return made == sessions;
}

static struct spandrel_heap_stats bill(const struct tenant *tenant) {
    struct spandrel_heap_stats stats;
    if (spandrel_heap_stats(tenant->heap, &stats, sizeof stats) != 0) exit(1);
    return stats;
}

static void print_bill(const struct tenant *tenant) {
    size_t sessions = 0;
    for (const struct session *session = tenant->sessions; session != NULL; session = session->next) sessions++;
    struct spandrel_heap_stats stats = bill(tenant);
    printf("%s: %zu sessions, %zu bytes in %zu blocks\n", stats.name, sessions, stats.live_bytes, stats.live_blocks);
}

int main(void) {
    struct tenant atlas = join("atlas"), birch = join("birch"), cedar = join("cedar");
    if (!serve(&atlas, 1000) || !serve(&birch, 250)) return 1;
    print_bill(&atlas);
    print_bill(&birch);

    // A malloc above the limit returns NULL, to this tenant alone.
    if (serve(&cedar, 1000000)) return 1;
    struct spandrel_heap_stats stats = bill(&cedar);
    printf("%s is refused at %zu MiB: it holds %zu MiB, and %zu request failed\n", stats.name, stats.hard_limit / MIB,
           stats.held_bytes / MIB, stats.refusals);

    // Nobody frees its sessions one by one.
    if (spandrel_heap_destroy(cedar.heap) != 0) return 1;
    printf("cedar is gone: %zu heaps are left\n", spandrel_heap_list(NULL, 0));
    print_bill(&atlas);

    // A block can pass to another heap, or to the default one, with its bill.
    char *report = spandrel_heap_malloc(birch.heap, 65536);
    if (report == NULL) return 1;
    memset(report, 'r', 65536);
    report = spandrel_heap_move(NULL, report);
    if (report == NULL || spandrel_heap_of(report) != NULL || bill(&birch).live_bytes != 24000) return 1;
    puts("a report of 64 KiB passed from birch to the server: nothing of birch is left but its sessions");
    free(report);

    spandrel_heap_destroy(atlas.heap);
    spandrel_heap_destroy(birch.heap);
    return 0;
}
