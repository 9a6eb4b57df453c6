// Compares Spandrel's call stacks with those of glibc's backtrace(), which uses the same tables: in a chain of calls
// through functions with frames of many shapes, through libc's qsort, in a signal handler, on an alternate stack, in a
// thread, and on a stack that the program made.
#ifndef STACK_SHARED_H
#define STACK_SHARED_H

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include "check.h"
#include "context.h"
#include "spandrel_weak.h"

#define DEPTH 256
#define STACK_BYTES (64 * KIB)
#define APART __attribute__((noinline, noclone))

static int compared;
static bool through_signal;

// The innermost frame is this function's own: the two calls differ in their place.
APART static void compare(void) {
    size_t ours[DEPTH];
    void *theirs[DEPTH];
    size_t count = spandrel_call_stack(ours, DEPTH);
    size_t known = (size_t)backtrace(theirs, DEPTH);
    CHECK_WITH(count >= known && count > 3, count);
    for (size_t i = 1; i < known; i++) CHECK_WITH(ours[i] == (size_t)theirs[i], i);
    size_t few[3] = {0, 0, 77};
    CHECK(spandrel_call_stack(few, 2) == 2 && few[1] == ours[1] && few[2] == 77);
    CHECK(spandrel_call_stack(few, 0) == 0);
    compared++;
}

static void (*innermost)(void) = compare;

APART static void with_many_values(long a, long b, long c, long d) {
    volatile long e = a * b, f = b * c, g = c * d, h = d * a;
    innermost();
    CHECK(e + f + g + h == a * b + b * c + c * d + d * a);
}

APART static void with_room(size_t bytes) {
    volatile char *room = __builtin_alloca(bytes);
    room[0] = 1;
    with_many_values(1, 2, 3, room[0]);
    CHECK(room[0] == 1);
}

// Frames that need more alignment than the stack has are made in another way.
APART static void aligned_anew(int depth) {
    struct { _Alignas(64) volatile char bytes[64]; } room;
    room.bytes[0] = (char)depth;
    CHECK(((uintptr_t)&room & 63) == 0);
    if (depth > 0) aligned_anew(depth - 1);
    else with_room(opaque_size(700));
    CHECK(room.bytes[0] == (char)depth);
}

APART static int in_qsort(const void *left, const void *right) {
    if (compared < 2) aligned_anew(2);
    return *(const int *)left - *(const int *)right;
}

APART static void chain(int depth) {
    if (depth > 0) { chain(depth - 1); barrier(); return; }
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof numbers[0], in_qsort);
    CHECK(numbers[0] == 1);
}

static void on_signal(int number) {
    (void)number;
    through_signal = true;
    compare();
}

static void in_signal(int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    raise(SIGUSR1);
}

static void *in_thread(void *argument) {
    (void)argument;
    aligned_anew(3);
    in_signal(0);
    return NULL;
}

static ucontext_t outside, inside;
static void on_made_stack(void) { aligned_anew(3); }

static void in_context(void) {
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    make_context(&inside, stack, STACK_BYTES, &outside, on_made_stack);
    CHECK(swapcontext(&outside, &inside) == 0);
}

static int run_all(void) {
    static char handler_stack[STACK_BYTES];
    stack_t other = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    pthread_t thread;
    compare();
    chain(20);
    aligned_anew(1);
    in_signal(0);
    CHECK(sigaltstack(&other, NULL) == 0);
    in_signal(SA_ONSTACK);
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    in_context();
    CHECK(through_signal && compared >= 7);
    return 0;
}

#endif
