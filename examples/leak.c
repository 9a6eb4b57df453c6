// A server that forgets: it frees each session, and not the pages that the session remembers.
// docs/guide/hunting-a-leak.md finds the place.
// Run it: make -C examples leak
// Prints:
//   10000 sessions served
// With an argument it serves for so many seconds, about a thousand sessions in each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSIONS = 10000, PAGES_OF_A_SESSION = 8, CACHED = 64 };

struct page {
    struct page *earlier;
    char address[1000];
};

struct session {
    int user;
    struct page *history;
};

static char *cache[CACHED];

// The last answer for each place is kept, and replaced by the next one: memory that grows to a bound, and no leak.
static void keep_answer(int number) {
    char *answer = malloc(4096);
    snprintf(answer, 4096, "<html>answer %d</html>", number);
    free(cache[number % CACHED]);
    cache[number % CACHED] = answer;
}

static void remember(struct session *session, const char *address) {
    struct page *page = malloc(sizeof *page);
    snprintf(page->address, sizeof page->address, "%s", address);
    page->earlier = session->history;
    session->history = page;
}

static void end_session(struct session *session) {
#ifdef FIXED
    for (struct page *page = session->history, *earlier; page != NULL; page = earlier) {
        earlier = page->earlier;
        free(page);
    }
#endif
    free(session);
}

static void serve(int user) {
    struct session *session = malloc(sizeof *session);
    *session = (struct session){user, NULL};
    for (int i = 0; i < PAGES_OF_A_SESSION; i++) {
        char address[100];
        snprintf(address, sizeof address, "/users/%d/page/%d", user, i);
        remember(session, address);
    }
    keep_answer(user);
    end_session(session);
}

int main(int argc, char **argv) {
    int served = 0;
    for (time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 0); argc > 1 ? time(NULL) < end : served < SESSIONS;) {
        serve(served++);
        if (argc > 1) nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    for (int i = 0; i < CACHED; i++) free(cache[i]);
    printf("%d sessions served\n", served);
    return 0;
}
