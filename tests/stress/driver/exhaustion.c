// Exhaustion: threads allocate until they are refused, which has to be ENOMEM, verify all they hold, free half of it
// and go on. The limit is set outside: a hard limit, a pool, or RLIMIT_AS. Afterwards every lane must serve
// again.
#include "stress.h"

enum { HUNGRY = 4, PLACES = 200000, TRIES = 100 };

static bool take(struct worker *worker, struct table *table, size_t at, uint64_t round) {
    // Each round has a size of its own in mind, now and then all of them.
    static const size_t SIZES[] = {24, 700, 5000, 30000, 200 * KIB, MIB, 3 * MIB};
    enum { COUNT = sizeof SIZES / sizeof *SIZES };
    size_t size = SIZES[round % (COUNT + 1) == COUNT ? dice(worker) % COUNT : round % (COUNT + 1)];
    size += dice(worker) % size / 4;
    if (!piece_get(worker, &table->pieces[at], size)) return false;
    table->held += table->pieces[at].size;
    return true;
}

static void hunger(struct worker *worker) {
    struct table table = table_new(PLACES, SIZE_MAX / 2);
    worker->may_be_refused = true;
    for (uint64_t round = dice(worker); !time_is_up(); round++) {
        for (size_t i = 0; i < table.count; i++) {
            if (table.pieces[i].at == NULL && !take(worker, &table, i, round)) break;
            if (i % 256 == 0 && time_is_up()) break;
        }
        table_verify(&table);
        table_empty(worker, &table, dice(worker) % 4);
    }
    table_empty(worker, &table, 0);
}

void exhaustion(void) {
    crew_run(HUNGRY, hunger);
    struct worker last;
    worker_init(&last, 0);
    // Some memory may be on its way still; not so much that a hundred calls find none.
    static const size_t LANES[] = {8, 1000, 30000, 200 * KIB, 5 * MIB, 33 * MIB};
    for (size_t lane = 0; lane < sizeof LANES / sizeof *LANES; lane++) {
        struct piece piece = {0};
        last.may_be_refused = true;
        for (int turn = 0; piece.at == NULL && turn < TRIES; turn++) piece_get_plain(&last, &piece, LANES[lane]);
        if (piece.at == NULL) found("lost", "%zu bytes cannot be had after exhaustion, though everything was freed", LANES[lane]);
        piece_put(&last, &piece);
    }
    uint64_t refusals = 0;
    for (int i = 1; i <= HUNGRY; i++) refusals += atomic_load(&status->slots[i].refusals);
    if (refusals == 0) found("unlimited", "no call was refused: there was nothing to exhaust");
}
