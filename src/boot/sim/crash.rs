//! What a power cut leaves of a simulated boot folder.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Facts, Node, SimBoot, Tree, Variables, parent};
use crate::boot::folder::SECTOR;
use crate::boot::vars::Variable;
use crate::units::Bytes;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Make(String, Node),
    Rename(String, String),
    Remove(String),
    Overwrite(String, usize, Vec<u8>),
    Append(String, Vec<u8>),
    Sync(String),
    Settle,
    Set(Variable, Option<Vec<u8>>),
}

impl Event {
    /// Does it, whole.
    pub(super) fn apply(&self, tree: &mut Tree, variables: &mut Variables) {
        match self {
            Self::Make(path, node) => {
                tree.insert(path.clone(), node.clone());
            }
            Self::Rename(from, to) => {
                if let Some(node) = tree.remove(from) {
                    tree.insert(to.clone(), node);
                }
            }
            Self::Remove(path) => {
                tree.remove(path);
            }
            Self::Overwrite(path, at, bytes) => {
                if let Some(node) = tree.get_mut(path) {
                    *node = overwritten(node, *at, bytes, u64::MAX);
                }
            }
            Self::Append(path, bytes) => {
                if let Some(node) = tree.get_mut(path) {
                    *node = appended(node, bytes);
                }
            }
            Self::Sync(_) | Self::Settle => {}
            Self::Set(variable, Some(value)) => {
                variables.insert(*variable, value.clone());
            }
            Self::Set(variable, None) => {
                variables.remove(variable);
            }
        }
    }

    /// The folder whose sync makes it durable.
    fn folder(&self) -> Option<&str> {
        match self {
            Self::Make(path, _) | Self::Rename(path, _) | Self::Remove(path) => Some(parent(path)),
            _ => None,
        }
    }
}

/// The file with those bytes written to those of its sectors that have a bit in `mask`.
fn overwritten(node: &Node, at: usize, bytes: &[u8], mask: u64) -> Node {
    let Node::File(old) = node else { return node.clone() };
    let mut new = old.to_vec();
    let sector = usize::try_from(SECTOR).unwrap_or(512);
    for (place, byte) in (at..).zip(bytes) {
        let number = place.checked_div(sector).unwrap_or(0);
        let bit = u32::try_from(number).ok().and_then(|n| mask.checked_shr(n)).unwrap_or(1) & 1;
        if let (1, Some(target)) = (bit, new.get_mut(place)) {
            *target = *byte;
        }
    }
    Node::File(new.into())
}

fn appended(node: &Node, bytes: &[u8]) -> Node {
    match node {
        Node::File(old) => Node::File([old, bytes].concat().into()),
        other => other.clone(),
    }
}

/// A file whose name is there and whose bytes are not.
fn damaged() -> Node {
    Node::File(Arc::new([]))
}

/// A moment of a power cut.
pub struct Cut {
    /// So many steps were done.
    pub after: usize,
    /// What there may be when the system has started again.
    pub states: Vec<SimBoot>,
    /// What a loader may find before that, if it reads no journal.
    pub unread: Vec<SimBoot>,
}

/// All moments: before each step's end, and after the last.
pub(super) fn cuts(
    facts: &Facts,
    capacity: Bytes,
    start: &(Tree, Variables),
    events: &[Event],
) -> Vec<Cut> {
    let order = if facts.fat { Order::None } else { Order::Kept };
    let mut disk = Disk::new(start, order);
    let mut unread = Disk::new(start, if facts.fat { Order::None } else { Order::Unread });
    let mut live = start.clone();
    let mut cuts = Vec::new();
    let sims = |states: Vec<(Tree, Variables)>| -> Vec<SimBoot> {
        let sim = |(tree, variables)| SimBoot::with(facts.clone(), capacity, tree, variables);
        states.into_iter().map(sim).collect()
    };
    for after in 0..=events.len() {
        let next = events.get(after);
        let states = sims(disk.states(next, &live.0));
        cuts.push(Cut { after, states, unread: sims(unread.states(next, &live.0)) });
        if let Some(event) = next {
            disk.note(event, &live.0);
            unread.note(event, &live.0);
            event.apply(&mut live.0, &mut live.1);
        }
    }
    cuts
}

/// What becomes of changes that are not durable yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A journal keeps their order: those up to some moment are there.
    Kept,
    /// FAT keeps none.
    None,
    /// Nor is there one for who does not read the journal: until it is emptied a sync says nothing.
    Unread,
}

/// What is durable, and what has happened since in memory alone.
#[derive(Clone)]
struct Disk {
    order: Order,
    tree: Tree,
    variables: Variables,
    /// With the node that a rename moved.
    pending: Vec<(Event, Option<Node>)>,
}

impl Disk {
    fn new(start: &(Tree, Variables), order: Order) -> Self {
        let (tree, variables) = start.clone();
        Self { order, tree, variables, pending: Vec::new() }
    }

    fn note(&mut self, event: &Event, live: &Tree) {
        match event {
            Event::Sync(folder) => self.sync(folder),
            Event::Settle => self.drain(|_, _| true),
            // These are durable when they return.
            Event::Overwrite(path, at, bytes) => {
                self.change(path, &|node| overwritten(node, *at, bytes, u64::MAX));
            }
            Event::Append(path, bytes) if self.order != Order::Unread => {
                self.change(path, &|node| appended(node, bytes));
            }
            Event::Set(..) => event.apply(&mut Tree::new(), &mut self.variables),
            Event::Rename(from, _) => self.pending.push((event.clone(), live.get(from).cloned())),
            event => self.pending.push((event.clone(), None)),
        }
    }

    /// Bytes of a file change: whatever name it has, or will have.
    fn change(&mut self, path: &str, change: &dyn Fn(&Node) -> Node) {
        if let Some(node) = self.tree.get_mut(path) {
            *node = change(node);
        }
        for (event, moved) in &mut self.pending {
            match event {
                Event::Make(name, node) if name == path => *node = change(node),
                Event::Rename(_, to) if to == path => {
                    moved.iter_mut().for_each(|node| *node = change(node));
                }
                _ => {}
            }
        }
    }

    fn sync(&mut self, folder: &str) {
        let last = self.pending.iter().rposition(|(event, _)| event.folder() == Some(folder));
        match (self.order, last) {
            // What came before it is durable too.
            (Order::Kept, Some(last)) => self.drain(|place, _| place <= last),
            (Order::None, _) => self.drain(|_, event| event.folder() == Some(folder)),
            (Order::Kept, None) | (Order::Unread, _) => {}
        }
    }

    fn drain(&mut self, due: impl Fn(usize, &Event) -> bool) {
        let mut rest = Vec::new();
        for (place, (event, moved)) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if due(place, &event) {
                apply(&mut self.tree, &event, moved.as_ref(), Outcome::WHOLE);
            } else {
                rest.push((event, moved));
            }
        }
        self.pending = rest;
    }

    /// All that a cut may leave while `next` is being done.
    fn states(&self, next: Option<&Event>, live: &Tree) -> Vec<(Tree, Variables)> {
        let mut found = BTreeSet::new();
        let mut states = Vec::new();
        let mut disks = vec![self.clone()];
        disks.extend(next.map(|next| self.during(next, live)).unwrap_or_default());
        for disk in disks {
            for tree in disk.trees() {
                let state = (tree, disk.variables.clone());
                if found.insert(fingerprint(&state)) {
                    states.push(state);
                }
            }
        }
        states
    }

    /// The disk while something is half done.
    fn during(&self, event: &Event, live: &Tree) -> Vec<Self> {
        let with = |event: Event, moved: Option<Node>| {
            let mut disk = self.clone();
            disk.pending.push((event, moved));
            disk
        };
        let changed = |path: &str, change: &dyn Fn(&Node) -> Node| {
            let mut disk = self.clone();
            disk.change(path, change);
            disk
        };
        match event {
            Event::Make(path, Node::File(bytes)) => [bytes.len(), bytes.len() / 2, 0]
                .map(|len| {
                    let part: Arc<[u8]> = bytes.get(..len).unwrap_or_default().into();
                    with(Event::Make(path.clone(), Node::File(part)), None)
                })
                .into(),
            Event::Overwrite(path, at, bytes) => (0..4)
                .map(|number| {
                    let mask = mask(*at, number);
                    changed(path, &|node| overwritten(node, *at, bytes, mask))
                })
                .collect(),
            Event::Append(path, bytes) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
                let others = vec![b'\''; bytes.len()];
                [bytes.clone(), half, others]
                    .map(|bytes| changed(path, &|node| appended(node, &bytes)))
                    .into()
            }
            Event::Rename(from, _) => vec![with(event.clone(), live.get(from).cloned())],
            Event::Make(..) | Event::Remove(_) => vec![with(event.clone(), None)],
            Event::Set(..) | Event::Sync(_) | Event::Settle => Vec::new(),
        }
    }

    fn trees(&self) -> Vec<Tree> {
        if self.order == Order::Kept { self.trees_in_order() } else { self.trees_in_any_order() }
    }

    fn trees_in_order(&self) -> Vec<Tree> {
        let mut trees = vec![self.tree.clone()];
        let mut tree = self.tree.clone();
        for (event, moved) in &self.pending {
            apply(&mut tree, event, moved.as_ref(), Outcome::WHOLE);
            trees.push(tree.clone());
        }
        trees
    }

    /// Any part of what is pending; where there are too many, none, all, each alone, all but each,
    /// and some that are drawn.
    fn trees_in_any_order(&self) -> Vec<Tree> {
        let outcomes: Vec<Vec<Outcome>> =
            self.pending.iter().map(|(event, _)| Outcome::all(event)).collect();
        let counts: Vec<usize> = outcomes.iter().map(Vec::len).collect();
        let tree = |choice: Vec<usize>| {
            let mut tree = self.tree.clone();
            for (((event, moved), all), number) in self.pending.iter().zip(&outcomes).zip(choice) {
                let outcome = all.get(number).copied().unwrap_or(Outcome::WHOLE);
                apply(&mut tree, event, moved.as_ref(), outcome);
            }
            tree
        };
        choices(&counts).into_iter().map(tree).collect()
    }
}

/// So many states of one moment are looked at one by one.
const ALL_UP_TO: usize = 512;

/// Numbers below each of `counts`; the last is the whole of it, the first nothing.
fn choices(counts: &[usize]) -> Vec<Vec<usize>> {
    let total = counts.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
    if let Some(total) = total.filter(|total| *total <= ALL_UP_TO) {
        return (0..total).map(|number| digits(number, counts)).collect();
    }
    let none = vec![0; counts.len()];
    let all: Vec<usize> = counts.iter().map(|count| count.saturating_sub(1)).collect();
    let mut chosen = vec![none.clone(), all.clone()];
    for (place, count) in counts.iter().enumerate() {
        for value in 0..*count {
            for base in [&none, &all] {
                let mut choice = base.clone();
                choice.iter_mut().skip(place).take(1).for_each(|number| *number = value);
                chosen.push(choice);
            }
        }
    }
    let mut state = 1u64;
    for _ in 0..ALL_UP_TO {
        let mut draw = |count: &usize| {
            // Knuth's multiplier (MMIX); the high bits are the good ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let drawn = usize::try_from(state >> 33).unwrap_or(0);
            drawn.checked_rem(*count).unwrap_or(0)
        };
        chosen.push(counts.iter().map(&mut draw).collect());
    }
    chosen
}

/// `number` in the mixed base of `counts`.
fn digits(number: usize, counts: &[usize]) -> Vec<usize> {
    let mut rest = number;
    let digit = |count: &usize| {
        let digit = rest.checked_rem(*count).unwrap_or(0);
        rest = rest.checked_div(*count).unwrap_or(0);
        digit
    };
    counts.iter().map(digit).collect()
}

/// The sectors of a write, from its first, that are in the two lowest bits of `number`.
fn mask(at: usize, number: u64) -> u64 {
    let first = u64::try_from(at).unwrap_or(0).checked_div(SECTOR).unwrap_or(0);
    number.checked_shl(u32::try_from(first).unwrap_or(0)).unwrap_or(0)
}

/// How much of a change happened.
#[derive(Clone, Copy)]
struct Outcome {
    /// The name that goes is gone.
    gone: bool,
    /// The name that comes, or the bytes that come, are there.
    there: bool,
    /// The name is there, and its file's bytes are not.
    damaged: bool,
}

impl Outcome {
    const WHOLE: Self = Self { gone: true, there: true, damaged: false };

    /// The first is nothing of it, the last all.
    fn all(event: &Event) -> Vec<Self> {
        let none = Self { gone: false, there: false, damaged: false };
        let damaged = Self { damaged: true, ..none };
        match event {
            Event::Rename(..) => {
                let gone = |gone| Self { gone, ..none };
                let there = |gone| Self { there: true, gone, ..none };
                let lost = |gone| Self { damaged: true, gone, ..none };
                vec![none, gone(true), lost(false), lost(true), there(false), there(true)]
            }
            Event::Make(_, Node::Folder) | Event::Append(..) => vec![none, Self::WHOLE],
            _ => vec![none, damaged, Self::WHOLE],
        }
    }
}

fn apply(tree: &mut Tree, event: &Event, moved: Option<&Node>, outcome: Outcome) {
    match event {
        Event::Make(path, _) if outcome.damaged => {
            tree.insert(path.clone(), damaged());
        }
        Event::Make(path, node) if outcome.there => {
            tree.insert(path.clone(), node.clone());
        }
        Event::Remove(path) if outcome.damaged && tree.contains_key(path) => {
            tree.insert(path.clone(), damaged());
        }
        Event::Remove(path) if outcome.gone => {
            tree.remove(path);
        }
        Event::Append(path, bytes) if outcome.there => {
            if let Some(node) = tree.get_mut(path) {
                *node = appended(node, bytes);
            }
        }
        Event::Rename(from, to) => {
            if outcome.gone {
                tree.remove(from);
            }
            match moved {
                Some(_) if outcome.damaged => drop(tree.insert(to.clone(), damaged())),
                Some(node) if outcome.there => drop(tree.insert(to.clone(), node.clone())),
                _ => {}
            }
        }
        _ => {}
    }
}

fn fingerprint(state: &(Tree, Variables)) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl SimBoot {
    /// The same for the same files and variables: to count distinct states.
    pub fn fingerprint(&self) -> u64 {
        let world = self.lock();
        fingerprint(&(world.tree.clone(), world.variables.clone()))
    }
}
