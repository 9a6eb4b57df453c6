// Scenarios of threads that free what other threads allocated.
#include <sched.h>
#include "stress.h"

// Pieces on their way from thread to thread.
struct queue {
    pthread_mutex_t lock;
    struct piece *pieces;
    size_t count, room;
};

static struct queue queue_new(size_t room) {
    return (struct queue){PTHREAD_MUTEX_INITIALIZER, own_memory(room * sizeof(struct piece)), 0, room};
}

static bool send_piece(struct queue *queue, const struct piece *piece) {
    pthread_mutex_lock(&queue->lock);
    bool fits = queue->count < queue->room;
    if (fits) queue->pieces[queue->count++] = *piece;
    pthread_mutex_unlock(&queue->lock);
    return fits;
}

// Takes up to `most` pieces into `into`; how many.
static size_t receive(struct queue *queue, struct piece *into, size_t most) {
    pthread_mutex_lock(&queue->lock);
    size_t taken = queue->count < most ? queue->count : most;
    queue->count -= taken;
    memcpy(into, queue->pieces + queue->count, taken * sizeof *into);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

static void put_all(struct worker *worker, struct piece *pieces, size_t count) {
    for (size_t i = 0; i < count; i++) piece_put(worker, &pieces[i]);
}

enum { STORMERS = 6, STORM_ROOM = 12000, STORM_TAKEN = 256 };
static struct queue inboxes[STORMERS];
static pthread_barrier_t storm_over;

// Every piece goes to another thread, which frees it: no free is ever of one's own block.
static void storm_body(struct worker *worker) {
    struct piece taken[STORM_TAKEN];
    unsigned mine = worker->number - 1;
    while (!time_is_up()) {
        for (int i = 0; i < 64; i++) {
            struct piece piece;
            bool large = dice(worker) % 256 == 0;
            size_t size = large ? 32 * KIB + dice(worker) % (96 * KIB) : size_of_small(worker, 8 * KIB);
            piece_get(worker, &piece, size);
            unsigned other = (mine + 1 + dice(worker) % (STORMERS - 1)) % STORMERS;
            while (!send_piece(&inboxes[other], &piece)) {
                // Its owner has no processor just now, or is in the same position: make room at home.
                put_all(worker, taken, receive(&inboxes[mine], taken, STORM_TAKEN));
                sched_yield();
            }
        }
        if (inboxes[mine].count > STORM_ROOM / 2) put_all(worker, taken, receive(&inboxes[mine], taken, STORM_TAKEN));
    }
    // The others may be waiting for room in this inbox until all have come here.
    pthread_barrier_t *over = &storm_over;
    for (size_t count; (count = receive(&inboxes[mine], taken, STORM_TAKEN)) != 0;) put_all(worker, taken, count);
    pthread_barrier_wait(over);
    for (size_t count; (count = receive(&inboxes[mine], taken, STORM_TAKEN)) != 0;) put_all(worker, taken, count);
}

void remote_free(void) {
    pthread_barrier_init(&storm_over, NULL, STORMERS);
    for (int i = 0; i < STORMERS; i++) inboxes[i] = queue_new(STORM_ROOM);
    crew_run(STORMERS, storm_body);
}

enum { PRODUCERS = 2, CONSUMERS = 2, BELT_ROOM = 24000, WINDOW = 4096 };
static struct queue belt;
static atomic_uint producing;

// Producers sleep now and then: blocks that are sent to them meanwhile have to wait, or to return to their spans
// without them.
static void produce(struct worker *worker) {
    while (!time_is_up()) {
        struct piece piece;
        piece_get(worker, &piece, size_of_small(worker, 4 * KIB));
        while (!send_piece(&belt, &piece)) usleep(200);
        if (dice(worker) % 8192 == 0) usleep(1000 + dice(worker) % 4000);
    }
    atomic_fetch_sub(&producing, 1);
}

// Consumers keep a window of pieces and free a random one for each that comes.
static void consume(struct worker *worker) {
    struct piece *window = own_memory(WINDOW * sizeof *window), next[64];
    while (atomic_load(&producing) != 0 || belt.count != 0) {
        size_t count = receive(&belt, next, 64);
        if (count == 0) usleep(200);
        for (size_t i = 0; i < count; i++) {
            struct piece *place = &window[dice(worker) % WINDOW];
            if (place->at != NULL) piece_put(worker, place);
            *place = next[i];
        }
    }
    for (size_t i = 0; i < WINDOW; i++)
        if (window[i].at != NULL) piece_put(worker, &window[i]);
}

static void produce_or_consume(struct worker *worker) { (worker->number <= PRODUCERS ? produce : consume)(worker); }

void producer_consumer(void) {
    belt = queue_new(BELT_ROOM);
    atomic_store(&producing, PRODUCERS);
    crew_run(PRODUCERS + CONSUMERS, produce_or_consume);
}

enum { BURST = 512, BURSTS = 48, PASSERS = 8 };
struct burst {
    struct piece pieces[BURST];
    size_t count;
};
static struct burst *bursts;
static pthread_mutex_t burst_locks[BURSTS];

// Of one size at a time and by hundreds, so that bins run over and empty, and batches go through the caches between
// threads.
static void pass_body(struct worker *worker) {
    static const size_t SIZES[] = {16, 48, 64, 128, 200, 512, 1000, 2048, 4096, 6000};
    while (!time_is_up()) {
        size_t size = SIZES[dice(worker) % (sizeof SIZES / sizeof *SIZES)], place = dice(worker) % BURSTS;
        struct burst *burst = &bursts[place];
        pthread_mutex_lock(&burst_locks[place]);
        put_all(worker, burst->pieces, burst->count);
        for (burst->count = 0; burst->count < BURST; burst->count++)
            piece_get_plain(worker, &burst->pieces[burst->count], size);
        pthread_mutex_unlock(&burst_locks[place]);
    }
}

void transfer_cache(void) {
    bursts = own_memory(BURSTS * sizeof *bursts);
    for (int i = 0; i < BURSTS; i++) pthread_mutex_init(&burst_locks[i], NULL);
    crew_run(PASSERS, pass_body);
    struct worker last;
    worker_init(&last, 0);
    for (int i = 0; i < BURSTS; i++) put_all(&last, bursts[i].pieces, bursts[i].count);
}
