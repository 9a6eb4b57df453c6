// Control under load: one thread asks for figures, gives memory back, sets and lifts limits and switches counting on
// and off, while others churn.
#include "stress.h"

enum { BESIDE = 3 };

static void meddle(struct worker *worker) {
    char *figures = own_memory(1 << 16);
    while (!time_is_up()) {
        switch (dice(worker) % 8) {
        case 0: spandrel_collect(true); break;
        case 1: malloc_trim(dice(worker) % (4 * MIB)); break;
        case 2: {
            struct spandrel_stats stats;
            CHECK(spandrel_stats(&stats, sizeof stats));
            break;
        }
        case 3: {
            FILE *memory = fmemopen(figures, 1 << 16, "w");
            CHECK(memory != NULL && malloc_info(0, memory) == 0);
            fclose(memory);
            break;
        }
        case 4: (void)mallinfo2(); break;
        // Refused in profiles with a pool.
        case 5: spandrel_set_limits(40 * MIB, 0); break;
        case 6: spandrel_set_limits(0, 0); break;
        default: spandrel_set_mode(dice(worker) % 2 == 0 ? "counting" : "fast");
        }
        usleep((useconds_t)(dice(worker) % 500));
    }
    spandrel_set_limits(0, 0);
    spandrel_set_mode("fast");
}

static void meddle_or_churn(struct worker *worker) { (worker->number == 1 ? meddle : churn_body)(worker); }

void control(void) { crew_run(1 + BESIDE, meddle_or_churn); }
