//! Containers as programs use them: maps that strings enter and leave, queues of boxes, vectors that grow, text that is
//! put together and taken apart.

use crate::harness::account::{Account, settle};
use crate::harness::form::Form;
use crate::harness::global::counted;
use crate::harness::rng::Rng;
use crate::outcome::Outcome;
use std::collections::{BTreeMap, LinkedList, VecDeque};
use std::fmt::Write;

const STEPS: u64 = 8_000_000;
const KEYS: u32 = 20_000;
const LONGEST: u32 = 160;
const QUEUED: usize = 2000;
const LISTED: usize = 500;
const ROWS: usize = 64;
const ROW: usize = 400;
const LINE: usize = 200;

#[derive(Default)]
struct State {
    map: BTreeMap<u32, String>,
    queue: VecDeque<Box<[u8]>>,
    list: LinkedList<u64>,
    rows: Vec<Vec<u32>>,
    line: String,
}

/// The scale changes the number of steps.
pub(crate) fn run(form: &Form) -> Outcome {
    let mut account = Account::alone();
    let mut rng = Rng::new(form.seed, 0);
    let mut sum = 0_u64;
    let (calls, peak) = counted(|| {
        let mut state = State::default();
        state.rows.resize_with(ROWS, Vec::new);
        for _ in 0..form.count(STEPS) {
            sum = sum.rotate_left(1).wrapping_add(step(&mut state, &mut rng));
        }
    });
    account.note(sum);
    account.on_others(calls, peak);
    settle(account).into()
}

fn step(state: &mut State, rng: &mut Rng) -> u64 {
    match rng.below(5) {
        0 | 1 => {
            let key = rng.below(KEYS);
            match state.map.remove(&key) {
                Some(text) => text.len() as u64,
                None => {
                    let text = "x".repeat(rng.between(1, LONGEST) as usize);
                    state.map.insert(key, text).map_or(1, |old| old.len() as u64)
                }
            }
        }
        2 => {
            state.queue.push_back(vec![1_u8; rng.between(1, LONGEST) as usize].into_boxed_slice());
            state.list.push_front(rng.next());
            if state.list.len() > LISTED {
                state.list.clear();
            }
            let over = state.queue.len() > QUEUED;
            over.then(|| state.queue.pop_front()).flatten().map_or(0, |item| item.len() as u64)
        }
        3 => {
            let row = &mut state.rows[rng.index(ROWS)];
            row.extend(0..rng.below(32));
            if row.len() > ROW {
                *row = Vec::new();
            }
            row.len() as u64
        }
        _ => {
            let number = rng.below(1 << 20);
            let written = write!(state.line, "{number},");
            if written.is_ok() && state.line.len() > LINE {
                let fields: Vec<String> = std::mem::take(&mut state.line).split(',').map(str::to_owned).collect();
                return fields.len() as u64;
            }
            u64::from(number)
        }
    }
}
