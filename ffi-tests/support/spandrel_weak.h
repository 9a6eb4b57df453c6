// The extension API, weak: present when preloaded or linked, and the same source still links without the library.
#ifndef SPANDREL_WEAK_H
#define SPANDREL_WEAK_H

#include "spandrel.h"

#pragma weak spandrel_is_active
#pragma weak spandrel_version
#pragma weak spandrel_lane_of_size
#pragma weak spandrel_lane_of_pointer
#pragma weak spandrel_good_size
#pragma weak spandrel_alloc_at_least
#pragma weak spandrel_collect
#pragma weak spandrel_safepoint
#pragma weak spandrel_resident_bytes
#pragma weak spandrel_stats
#pragma weak spandrel_class_stats
#pragma weak spandrel_stats_write
#pragma weak spandrel_set_limits
#pragma weak spandrel_set_limit_callback
#pragma weak spandrel_call_stack
#pragma weak spandrel_profile_start
#pragma weak spandrel_profile_stop
#pragma weak spandrel_profile_dump
#pragma weak spandrel_mode
#pragma weak spandrel_set_mode
#pragma weak spandrel_outstanding
#pragma weak spandrel_set_alloc_functions
#pragma weak spandrel_block_info
#pragma weak spandrel_walk
#pragma weak spandrel_explain_fault
#pragma weak spandrel_heap_create
#pragma weak spandrel_heap_destroy
#pragma weak spandrel_heap_delete
#pragma weak spandrel_heap_use
#pragma weak spandrel_heap_current
#pragma weak spandrel_heap_of
#pragma weak spandrel_heap_malloc
#pragma weak spandrel_heap_calloc
#pragma weak spandrel_heap_aligned_alloc
#pragma weak spandrel_heap_realloc
#pragma weak spandrel_heap_move
#pragma weak spandrel_heap_set_limits
#pragma weak spandrel_heap_stats
#pragma weak spandrel_heap_list

#endif
