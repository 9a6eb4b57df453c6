// Churn: each worker keeps a table of pieces and puts, gets and resizes them at random, in every lane.
#include "stress.h"

enum { SLOTS = 4096, SLOTS_LARGE = 512 };

struct table table_new(size_t count, size_t budget) {
    return (struct table){own_memory(count * sizeof(struct piece)), count, budget, 0};
}

static void put(struct worker *worker, struct table *table, struct piece *piece) {
    table->held -= piece->size;
    piece_put(worker, piece);
}

// One change of one random slot. Above its budget the table only loses.
void table_step(struct worker *worker, struct table *table) {
    struct piece *piece = &table->pieces[dice(worker) % table->count];
    size_t size = size_of_any(worker);
    if (size > table->budget / 2) size = size_of_small(worker, KIB);
    bool full = table->held + size > table->budget;
    if (piece->at != NULL && !full && dice(worker) % 4 == 0) {
        size_t before = piece->size;
        if (piece_resize(worker, piece, size)) table->held += size - before;
        return;
    }
    if (piece->at != NULL) put(worker, table, piece);
    if (!full && piece_get(worker, piece, size)) table->held += size;
}

void table_verify(const struct table *table) {
    for (size_t i = 0; i < table->count; i++)
        if (table->pieces[i].at != NULL) piece_verify(&table->pieces[i]);
}

// Puts all pieces back but one in `keep_one_in`; 0: keeps none.
void table_empty(struct worker *worker, struct table *table, size_t keep_one_in) {
    for (size_t i = 0; i < table->count; i++)
        if (table->pieces[i].at != NULL && (keep_one_in == 0 || dice(worker) % keep_one_in != 0))
            put(worker, table, &table->pieces[i]);
}

void churn_body(struct worker *worker) {
    struct table table = table_new(SLOTS, 24 * MIB);
    while (!time_is_up())
        for (int i = 0; i < 64; i++) table_step(worker, &table);
    table_empty(worker, &table, 0);
}

void churn(void) { crew_run(CHURNERS, churn_body); }

// Large pieces, for huge pages and for placement on nodes.
static void churn_large_body(struct worker *worker) {
    struct table table = table_new(SLOTS_LARGE, 48 * MIB);
    while (!time_is_up()) {
        for (int i = 0; i < 16; i++) table_step(worker, &table);
        struct piece *piece = &table.pieces[dice(worker) % table.count];
        size_t size = 64 * KIB + dice(worker) % (512 * KIB);
        if (piece->at != NULL) put(worker, &table, piece);
        if (table.held + size <= table.budget && piece_get(worker, piece, size)) table.held += size;
    }
    table_empty(worker, &table, 0);
}

void churn_large(void) { crew_run(CHURNERS, churn_large_body); }
