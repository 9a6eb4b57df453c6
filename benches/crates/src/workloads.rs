//! Small programs as Rust programs are: what they compute depends on every block that they use.
//!
//! Knows: collections of the standard library. Must not know: which allocator serves them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A workload: a number for its length, and the sum that it computes.
pub(crate) type Workload = fn(usize) -> u64;

pub(crate) const ALL: &[(&str, Workload)] = &[
    ("vec-growth", vec_growth),
    ("string-map", string_map),
    ("box-tree", box_tree),
    ("arc-threads", arc_threads),
    ("formatting", formatting),
    ("documents", documents),
];

/// Numbers that are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, by xorshift.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }
}

/// Vectors that grow by pushes to lengths of up to a few thousand and replace one another.
fn vec_growth(count: usize) -> u64 {
    let (mut random, mut live) = (Random::new(1), vec![Vec::new(); 500]);
    let mut sum = 0;
    for _ in 0..count {
        let (slot, length) = (random.below(live.len()), 1 << random.below(13));
        let mut numbers = Vec::new();
        (0..length).for_each(|number| numbers.push(number ^ slot as u64));
        sum += numbers.last().copied().unwrap_or_default();
        live[slot] = numbers;
    }
    sum + live.iter().map(Vec::len).sum::<usize>() as u64
}

type Names = HashMap<String, Vec<String>, BuildHasherDefault<DefaultHasher>>;

/// A map from names to lists of names that entries come to and leave.
fn string_map(count: usize) -> u64 {
    let (mut random, mut map) = (Random::new(2), Names::default());
    let mut gone = 0;
    for number in 0..count {
        let key = format!("user-{}", random.below(20_000));
        if number % 3 == 2 {
            gone += map.remove(&key).map_or(0, |names| names.len() as u64);
        } else {
            map.entry(key).or_default().push(format!("session {number} of {}", random.below(1000)));
        }
    }
    gone + map.values().flatten().map(String::len).sum::<usize>() as u64
}

/// A node of a tree, with the number of its level.
struct Node {
    level: u64,
    below: Option<[Box<Node>; 2]>,
}

impl Node {
    fn tree(depth: u64) -> Box<Self> {
        let below = (depth > 0).then(|| [Self::tree(depth - 1), Self::tree(depth - 1)]);
        Box::new(Self { level: depth, below })
    }

    fn sum(&self) -> u64 {
        self.level + self.below.iter().flatten().map(|node| node.sum()).sum::<u64>()
    }
}

/// Trees of boxes: a large one that stays, and small ones that come and go.
fn box_tree(count: usize) -> u64 {
    let kept = Node::tree(16);
    let made: u64 = (0..count).map(|number| Node::tree(4 + number as u64 % 10).sum()).sum();
    made + kept.sum()
}

/// A message that several threads read; the last one frees it.
struct Message {
    to: usize,
    body: Vec<u8>,
    tags: Vec<String>,
}

/// Threads that send one another shared messages, and free what others allocated.
fn arc_threads(count: usize) -> u64 {
    const THREADS: usize = 4;
    let (senders, receivers): (Vec<SyncSender<Arc<Message>>>, Vec<Receiver<Arc<Message>>>) =
        (0..THREADS).map(|_| sync_channel(128)).unzip();
    let readers: Vec<_> = receivers.into_iter().map(|receiver| thread::spawn(move || read(&receiver))).collect();
    let writers: Vec<_> = (0..2)
        .map(|seed| {
            let senders = senders.clone();
            thread::spawn(move || write(&senders, seed, count))
        })
        .collect();
    drop(senders);
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    readers.into_iter().map(|reader| reader.join().expect("no reader panics")).sum()
}

fn write(senders: &[SyncSender<Arc<Message>>], seed: u64, count: usize) {
    let mut random = Random::new(3 + seed);
    for number in 0..count {
        let to = random.below(senders.len());
        let tags = (0..random.below(4)).map(|tag| format!("tag {tag} of message {number}")).collect();
        let message = Arc::new(Message { to, body: vec![to as u8; random.below(2000)], tags });
        // Two threads get it, and either may be the last that has it.
        for step in 0..2 {
            let sent = senders[(to + step) % senders.len()].send(Arc::clone(&message));
            sent.expect("readers wait until all writers are gone");
        }
    }
}

fn read(receiver: &Receiver<Arc<Message>>) -> u64 {
    let weigh = |message: Arc<Message>| {
        let tags: usize = message.tags.iter().map(String::len).sum();
        (message.to + message.body.len() + tags) as u64
    };
    receiver.iter().map(weigh).sum()
}

/// Lines that are formatted, split, joined and sorted.
fn formatting(count: usize) -> u64 {
    let mut random = Random::new(5);
    let mut page = |number: usize| {
        let mut text = String::new();
        for line in 0..20 {
            let _ = writeln!(text, "{number:08x} {line:>4}: {} and {:.3}", random.next(), random.below(1000) as f64 / 7.0);
        }
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        words.join("-").len() as u64
    };
    (0..count).map(&mut page).sum()
}

/// A document as parsers make it.
#[derive(Clone)]
enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    fn make(random: &mut Random, depth: usize) -> Self {
        match random.below(if depth == 0 { 2 } else { 4 }) {
            0 => Self::Number(random.below(1000) as f64),
            1 => Self::Text("x".repeat(1 + random.below(60))),
            2 => Self::List((0..random.below(8)).map(|_| Self::make(random, depth - 1)).collect()),
            _ => Self::Map(
                (0..random.below(8)).map(|key| (format!("key {key}"), Self::make(random, depth - 1))).collect(),
            ),
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Self::Number(number) => *number as u64,
            Self::Text(text) => text.len() as u64,
            Self::List(values) => 1 + values.iter().map(Self::weight).sum::<u64>(),
            Self::Map(values) => values.iter().map(|(key, value)| key.len() as u64 + value.weight()).sum(),
        }
    }
}

/// Documents that are made, copied and dropped, some of them late.
fn documents(count: usize) -> u64 {
    let (mut random, mut kept) = (Random::new(6), vec![None; 200]);
    let mut sum = 0;
    for _ in 0..count {
        let document = Value::List((0..10).map(|_| Value::make(&mut random, 5)).collect());
        sum += document.clone().weight();
        let slot = random.below(kept.len());
        kept[slot] = Some(document);
    }
    sum + kept.iter().flatten().map(Value::weight).sum::<u64>()
}
