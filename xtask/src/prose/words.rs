//! Words that are out, and the words to use in their place.
//!
//! Knows: the table. Must not know: how words are found.

/// Where a word must not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nowhere: neither in names nor in prose.
    Everywhere,
    /// Not in names of code and files. In prose it is ordinary English.
    Names,
}

use Scope::{Everywhere, Names};

/// A word that is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// The word and its forms, in lower case; several words of prose are one entry with spaces.
    pub(super) forms: &'static [&'static str],
    /// The words to use.
    pub(super) instead: &'static str,
    pub(super) scope: Scope,
    /// Passages in which it may stand, in lower case; of names, the whole name.
    pub(super) except: &'static [&'static str],
    /// It is still in the tree: occurrences are counted and do not fail.
    pub(super) pending: bool,
}

const fn out(forms: &'static [&'static str], instead: &'static str, scope: Scope) -> Out {
    Out { forms, instead, scope, except: &[], pending: false }
}

impl Out {
    const fn except(self, except: &'static [&'static str]) -> Self {
        Self { except, ..self }
    }

    #[expect(dead_code, reason = "for the next word that goes out while the tree still has it")]
    const fn pending(self) -> Self {
        Self { pending: true, ..self }
    }
}

/// The table, from the vocabulary of the project: the field's words first.
pub(super) const WORDS: &[Out] = &[
    out(&["hit path", "hit paths"], "fast path", Everywhere),
    out(&["cold", "slower"], "slow path", Names).except(&[
        "cold",
        "cold_call",
        "coldcall",
        "madv_cold",
        // Names of LLVM.
        "__size_returning_new_hot_cold",
        "__size_returning_new_aligned_hot_cold",
    ]),
    out(&["front", "fronts"], "FastHeap", Names).except(&["push_front", "pop_front", "front"]),
    out(&["region map", "region maps"], "page map", Everywhere),
    out(&["depot", "depots"], "central list", Everywhere).except(&["bonwick"]),
    out(&["shelf", "shelves"], "central list", Everywhere),
    out(&["standing"], "HeapAccess", Names),
    out(&["busy"], "entered; HeapGuard", Names).except(&["resourcebusy", "resource_busy"]),
    out(&["ring", "rings", "bell", "bells"], "pending work", Names).except(&["ring"]),
    out(&["keep house", "keeps house"], "run pending work", Everywhere),
    out(&["late"], "deferred", Names).except(&["late"]),
    out(&["visit", "visits"], "drain", Names).except(&[
        "visit",
        "visit_file",
        "visitor",
        "visit_item_fn",
        "visit_impl_item_fn",
        "visit_trait_item_fn",
    ]),
    out(&["door", "doors"], "drain; lock", Everywhere),
    out(&["relief"], "idle return", Everywhere),
    out(&["portion", "portions"], "budget", Everywhere),
    out(&["squeeze", "squeezes", "squeezed"], "exhaustion; reclaim", Everywhere),
    out(&["gather", "gathers"], "reclaim", Names),
    out(&["maker", "makers"], "provider", Everywhere),
    out(&["manner", "manners"], "mode", Everywhere).except(&["in this manner", "in the same manner"]),
    out(&["spares"], "quarantine", Everywhere),
    out(&["chance"], "random", Names),
    out(&["ward", "wards"], "shard", Everywhere),
    out(
        &["take home", "takes home", "took home", "taken home", "come home", "comes home", "goes home", "go home"],
        "return to the owner, to the span or to the central list",
        Everywhere,
    ),
    out(&["welcome"], "return_to_span", Names),
    out(&["is told", "are told"], "gets (the caller gets the error)", Everywhere),
    out(&["is looked at", "are looked at"], "is checked, is compared", Everywhere),
    out(&["passes by", "pass by", "passed by"], "calls", Everywhere),
    out(&["lets others in", "let others in"], "releases the lock; lets others drain", Everywhere),
];
