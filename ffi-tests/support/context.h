// Contexts on stacks of their own.
#ifndef CONTEXT_H
#define CONTEXT_H

#include <ucontext.h>
#include "check.h"

// Has `context` run `work` on `stack`, and go on at `next` afterwards, if that is not NULL.
static inline void make_context(ucontext_t *context, void *stack, size_t bytes, ucontext_t *next, void (*work)(void)) {
    CHECK(getcontext(context) == 0);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = bytes;
    context->uc_link = next;
    makecontext(context, work, 0);
}

#endif
