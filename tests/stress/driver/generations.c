// Thread churn: threads live for a few hundred calls; what one leaves behind the next ones resize and free. Destructors
// of thread keys allocate and free, too, when the allocator may already know that the thread is gone.
#include "stress.h"

enum { AT_ONCE = 8, HERITAGE = 20000, LOCKS = 64, LIFE = 400, DESTRUCTOR_PIECES = 8, DESTRUCTOR_ROUNDS = 3 };

static struct piece *heritage;
static pthread_mutex_t locks[LOCKS];
static pthread_key_t destructor_key;

// The pieces that a thread frees in its destructors.
struct destructor {
    struct worker worker;
    struct piece pieces[DESTRUCTOR_PIECES];
    int rounds;
};
static struct destructor destructors[AT_ONCE];

static void free_in_destructor(void *argument) {
    struct destructor *mine = argument;
    for (int i = 0; i < DESTRUCTOR_PIECES; i++) piece_put(&mine->worker, &mine->pieces[i]);
    if (++mine->rounds == DESTRUCTOR_ROUNDS) return;
    for (int i = 0; i < DESTRUCTOR_PIECES; i++)
        piece_get(&mine->worker, &mine->pieces[i], size_of_small(&mine->worker, 2 * KIB));
    pthread_setspecific(destructor_key, mine);
}

static void *live_shortly(void *argument) {
    struct destructor *mine = argument;
    struct worker *worker = &mine->worker;
    for (int i = 0; i < LIFE; i++) {
        size_t place = dice(worker) % HERITAGE;
        size_t size = dice(worker) % 64 == 0 ? size_of_small(worker, 256 * KIB) : size_of_small(worker, 8 * KIB);
        pthread_mutex_lock(&locks[place % LOCKS]);
        struct piece *piece = &heritage[place];
        if (piece->at != NULL && dice(worker) % 4 == 0) {
            piece_resize(worker, piece, size);
        } else {
            if (piece->at != NULL) piece_put(worker, piece);
            piece_get(worker, piece, size);
        }
        pthread_mutex_unlock(&locks[place % LOCKS]);
    }
    for (int i = 0; i < DESTRUCTOR_PIECES; i++) piece_get(worker, &mine->pieces[i], size_of_small(worker, 2 * KIB));
    mine->rounds = 0;
    pthread_setspecific(destructor_key, mine);
    if (dice(worker) % 2 == 0) pthread_exit(NULL);
    return NULL;
}

void thread_churn(void) {
    pthread_t threads[AT_ONCE];
    uint32_t born = 0;
    heritage = own_memory(HERITAGE * sizeof *heritage);
    for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&locks[i], NULL);
    CHECK(pthread_key_create(&destructor_key, free_in_destructor) == 0);
    for (unsigned turn = 0; turn < AT_ONCE || !time_is_up(); turn++) {
        unsigned place = turn % AT_ONCE;
        if (turn >= AT_ONCE) CHECK(pthread_join(threads[place], NULL) == 0);
        worker_init(&destructors[place].worker, ++born);
        threads[place] = crew_thread(live_shortly, &destructors[place]);
    }
    for (int i = 0; i < AT_ONCE; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    struct worker last;
    worker_init(&last, 0);
    for (int i = 0; i < HERITAGE; i++)
        if (heritage[i].at != NULL) piece_put(&last, &heritage[i]);
}
