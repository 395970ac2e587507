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
    Sync(String),
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
            Self::Sync(_) => {}
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

/// A moment of a power cut.
pub struct Cut {
    /// So many steps were done.
    pub after: usize,
    /// What there may be afterwards.
    pub states: Vec<SimBoot>,
}

/// What is durable, and what has happened since in memory alone.
#[derive(Clone, Default)]
struct Disk {
    tree: Tree,
    variables: Variables,
    /// With the node that a rename moved.
    pending: Vec<(Event, Option<Node>)>,
}

/// All moments: before each step's end, and after the last.
pub(super) fn cuts(
    facts: &Facts,
    capacity: Bytes,
    start: &(Tree, Variables),
    events: &[Event],
) -> Vec<Cut> {
    let mut disk = Disk { tree: start.0.clone(), variables: start.1.clone(), pending: Vec::new() };
    let mut live = start.clone();
    let mut cuts = Vec::new();
    for after in 0..=events.len() {
        let next = events.get(after);
        let states = disk.states(facts.fat, next, &live.0);
        let states = states.into_iter().map(|(tree, variables)| {
            SimBoot::with(facts.clone(), capacity, tree, variables)
        });
        cuts.push(Cut { after, states: states.collect() });
        if let Some(event) = next {
            disk.note(event, facts.fat, &live.0);
            event.apply(&mut live.0, &mut live.1);
        }
    }
    cuts
}

impl Disk {
    fn note(&mut self, event: &Event, fat: bool, live: &Tree) {
        match event {
            Event::Sync(folder) => self.sync(folder, fat),
            // These are durable when they return.
            Event::Overwrite(path, at, bytes) => self.overwrite(path, *at, bytes, u64::MAX),
            Event::Set(..) => event.apply(&mut Tree::new(), &mut self.variables),
            Event::Rename(from, _) => self.pending.push((event.clone(), live.get(from).cloned())),
            event => self.pending.push((event.clone(), None)),
        }
    }

    /// Bytes inside a file change in place: whatever name it has, or will have.
    fn overwrite(&mut self, path: &str, at: usize, bytes: &[u8], mask: u64) {
        let change = |node: &mut Node| *node = overwritten(node, at, bytes, mask);
        if let Some(node) = self.tree.get_mut(path) {
            change(node);
        }
        for (event, moved) in &mut self.pending {
            match event {
                Event::Make(name, node) if name == path => change(node),
                Event::Rename(_, to) if to == path => moved.iter_mut().for_each(change),
                _ => {}
            }
        }
    }

    fn sync(&mut self, folder: &str, fat: bool) {
        let last = self.pending.iter().rposition(|(event, _)| event.folder() == Some(folder));
        let Some(last) = last else { return };
        let (mut tree, mut rest) = (self.tree.clone(), Vec::new());
        for (place, (event, moved)) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            // A journal keeps the order, so what came before is durable too.
            let due = if fat { event.folder() == Some(folder) } else { place <= last };
            if due {
                apply(&mut tree, &event, moved.as_ref(), Outcome::WHOLE);
            } else {
                rest.push((event, moved));
            }
        }
        (self.tree, self.pending) = (tree, rest);
    }

    /// All that a cut may leave while `next` is being done.
    fn states(&self, fat: bool, next: Option<&Event>, live: &Tree) -> Vec<(Tree, Variables)> {
        let mut pending = self.pending.clone();
        let mut found = BTreeSet::new();
        let mut states = Vec::new();
        let mut more: Vec<Disk> = vec![self.clone()];
        match next {
            Some(Event::Make(path, Node::File(bytes))) => {
                let half = bytes.len() / 2;
                for part in [bytes.len(), half, 0] {
                    let part: Arc<[u8]> = bytes.get(..part).unwrap_or_default().into();
                    let mut disk = self.clone();
                    disk.pending.push((Event::Make(path.clone(), Node::File(part)), None));
                    more.push(disk);
                }
            }
            Some(Event::Overwrite(path, at, bytes)) => {
                for mask in 0..4 {
                    let mut disk = self.clone();
                    disk.overwrite(path, *at, bytes, masks(*at, mask));
                    more.push(disk);
                }
            }
            Some(Event::Set(..)) | Some(Event::Sync(_)) | None => {}
            Some(Event::Rename(from, to)) => {
                pending.push((Event::Rename(from.clone(), to.clone()), live.get(from).cloned()));
                more.push(Disk { pending, ..self.clone() });
            }
            Some(event) => {
                pending.push((event.clone(), None));
                more.push(Disk { pending, ..self.clone() });
            }
        }
        for disk in more {
            for tree in disk.trees(fat) {
                let state = (tree, disk.variables.clone());
                if found.insert(fingerprint(&state)) {
                    states.push(state);
                }
            }
        }
        states
    }

    fn trees(&self, fat: bool) -> Vec<Tree> {
        if fat { self.trees_in_any_order() } else { self.trees_in_order() }
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

    fn trees_in_any_order(&self) -> Vec<Tree> {
        let mut trees = vec![self.tree.clone()];
        for (event, moved) in &self.pending {
            let old = std::mem::take(&mut trees);
            for tree in &old {
                for outcome in Outcome::all(event, tree) {
                    let mut tree = tree.clone();
                    apply(&mut tree, event, moved.as_ref(), outcome);
                    trees.push(tree);
                }
            }
        }
        trees
    }
}

/// The sectors of a write, from its first, that are in the two lowest bits of `number`.
fn masks(at: usize, number: u64) -> u64 {
    let first = u64::try_from(at).unwrap_or(0).checked_div(SECTOR).unwrap_or(0);
    let shift = u32::try_from(first).unwrap_or(0);
    number.checked_shl(shift).unwrap_or(0)
}

/// How much of a change of names happened.
#[derive(Clone, Copy)]
struct Outcome {
    /// The name that goes is gone.
    gone: bool,
    /// The name that comes is there.
    there: bool,
    /// The file that was replaced is gone, though nothing is there in its place.
    lost: bool,
}

impl Outcome {
    const WHOLE: Self = Self { gone: true, there: true, lost: false };

    fn all(event: &Event, tree: &Tree) -> Vec<Self> {
        let none = Self { gone: false, there: false, lost: false };
        match event {
            Event::Rename(_, to) => {
                let mut all = Vec::new();
                for gone in [false, true] {
                    all.push(Self { gone, ..none });
                    all.push(Self { gone, there: true, lost: false });
                    if tree.contains_key(to) {
                        all.push(Self { gone, there: false, lost: true });
                    }
                }
                all
            }
            _ => vec![none, Self::WHOLE],
        }
    }
}

fn apply(tree: &mut Tree, event: &Event, moved: Option<&Node>, outcome: Outcome) {
    match event {
        Event::Make(path, node) if outcome.there => {
            tree.insert(path.clone(), node.clone());
        }
        Event::Remove(path) if outcome.gone => {
            tree.remove(path);
        }
        Event::Rename(from, to) => {
            if outcome.gone {
                tree.remove(from);
            }
            match moved {
                Some(node) if outcome.there => {
                    tree.insert(to.clone(), node.clone());
                }
                _ if outcome.lost => {
                    tree.remove(to);
                }
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
