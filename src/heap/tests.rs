//! Tests of heaps against a naive model. Filled below.
