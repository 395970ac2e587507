//! A boot folder and variables in memory, for tests: they remember each step, and give every state
//! that a power cut could have left.
//!
//! A file system with a journal keeps the order of what happens to names: a cut leaves what was
//! done up to some point. FAT keeps none: of what was not synced any part may have happened, and
//! a name may be there without its bytes. So it is for a loader that reads no journal, until that
//! is emptied, whatever was synced. A file that was being written may be there, empty or in part. A
//! variable is old or new.

mod crash;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder::{BootFolder, BootPath, Facts, Kind, Room};
use super::vars::{EfiVars, Variable};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::units::Bytes;

pub use crash::Cut;
use crash::Event;

/// A file takes whole units of so many bytes.
const UNIT: Bytes = Bytes::new(4096);

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    File(Arc<[u8]>),
    Folder,
    Link(String),
}

type Tree = BTreeMap<String, Node>;
type Variables = BTreeMap<Variable, Vec<u8>>;

/// A call that shall fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which one, counted from 0 over all calls.
    pub call: usize,
    /// How.
    pub kind: ErrorKind,
    /// True where it has its effect all the same.
    pub late: bool,
    /// True where all later ones fail too.
    pub lasting: bool,
}

#[derive(Debug)]
struct World {
    facts: Facts,
    capacity: Bytes,
    /// What there was when the log began.
    start: (Tree, Variables),
    tree: Tree,
    variables: Variables,
    events: Vec<Event>,
    calls: usize,
    fault: Option<Fault>,
    /// What another program renames before a call, counted as for a fault.
    renamed: Option<(usize, String, String)>,
    /// True where a sync does nothing.
    lazy: bool,
}

/// A boot folder and a machine's variables. A clone is the same one.
#[derive(Clone, Debug)]
pub struct SimBoot(Arc<Mutex<World>>);

impl SimBoot {
    /// An empty one, with room for 64 MiB.
    pub fn new(facts: Facts) -> Self {
        Self::with(facts, Bytes::mib(64), Tree::new(), Variables::new())
    }

    fn with(facts: Facts, capacity: Bytes, tree: Tree, variables: Variables) -> Self {
        let start = (tree.clone(), variables.clone());
        let world = World {
            facts,
            capacity,
            start,
            tree,
            variables,
            events: Vec::new(),
            calls: 0,
            fault: None,
            renamed: None,
            lazy: false,
        };
        Self(Arc::new(Mutex::new(world)))
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder.
    pub fn folder(&self) -> SimFolder {
        SimFolder { world: self.clone(), below: String::new(), name: "/boot".to_owned() }
    }

    /// A folder in it, as a folder of its own.
    pub fn folder_at(&self, path: &str) -> SimFolder {
        SimFolder { world: self.clone(), below: format!("{path}/"), name: format!("/{path}") }
    }

    /// The variables.
    pub fn vars(&self) -> SimVars {
        SimVars { world: self.clone() }
    }

    /// So much room in all.
    pub fn set_capacity(&self, capacity: Bytes) {
        self.lock().capacity = capacity;
    }

    /// Puts a file there, with the folders above it; the log knows nothing of it.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.place(path, Node::File(bytes.as_ref().into()));
    }

    /// Puts a link there.
    pub fn link(&self, path: &str, target: &str) {
        self.place(path, Node::Link(target.to_owned()));
    }

    fn place(&self, path: &str, node: Node) {
        let mut world = self.lock();
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default().to_owned();
            world.tree.insert(above, Node::Folder);
        }
        world.tree.insert(path.to_owned(), node);
        world.start.0 = world.tree.clone();
    }

    /// Takes what is there away; the log knows nothing of it.
    pub fn take(&self, path: &str) {
        let mut world = self.lock();
        world.tree.remove(path);
        world.start.0 = world.tree.clone();
    }

    /// Sets a variable to a text; the log knows nothing of it.
    pub fn put_variable(&self, variable: Variable, text: &str) {
        let mut world = self.lock();
        world.variables.insert(variable, super::vars::bytes(text));
        world.start.1 = world.variables.clone();
    }

    /// A variable's text.
    pub fn variable(&self, variable: Variable) -> Option<String> {
        self.lock().variables.get(&variable).map(|bytes| super::vars::text(bytes))
    }

    /// Removes a variable, as a loader does.
    pub fn drop_variable(&self, variable: Variable) {
        self.lock().variables.remove(&variable);
    }

    /// A file's bytes.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        match self.lock().tree.get(path) {
            Some(Node::File(bytes)) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    /// All files and their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.lock();
        let file = |(path, node): (&String, &Node)| match node {
            Node::File(bytes) => Some((path.clone(), bytes.to_vec())),
            _ => None,
        };
        world.tree.iter().filter_map(file).collect()
    }

    /// A copy with a life of its own: whole, and nothing in its log.
    pub fn fork(&self) -> Self {
        let world = self.lock();
        Self::with(world.facts.clone(), world.capacity, world.tree.clone(), world.variables.clone())
    }

    /// Makes a call fail.
    pub fn fail(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    /// Lets calls succeed again.
    pub fn heal(&self) {
        self.lock().fault = None;
    }

    /// Lets another program rename a file right before a call, counted from 0 over all calls.
    pub fn rename_before(&self, call: usize, from: &str, to: &str) {
        self.lock().renamed = Some((call, from.to_owned(), to.to_owned()));
    }

    /// Lets syncs do nothing, to see that a test notices.
    pub fn forget_syncs(&self) {
        self.lock().lazy = true;
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The states that a power cut could have left, at each moment since the log began.
    pub fn cuts(&self) -> Vec<Cut> {
        let world = self.lock();
        crash::cuts(&world.facts, world.capacity, &world.start, &world.events)
    }

    /// Counts a call and lets it fail where it is to fail; else, or where it fails late, does it.
    fn call<T>(
        &self,
        what: &str,
        at: &str,
        run: impl FnOnce(&mut World) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.lock();
        let this = world.calls;
        world.calls = world.calls.saturating_add(1);
        if let Some((_, from, to)) = world.renamed.take_if(|(call, ..)| *call == this)
            && let Some(node) = world.tree.remove(&from)
        {
            world.tree.insert(to, node);
        }
        let fault = world.fault.filter(|f| f.call == this || (f.lasting && f.call < this));
        let Some(fault) = fault else { return run(&mut world) };
        if fault.late {
            run(&mut world)?;
        }
        Err(Error::new(fault.kind, "made to fail").op(what.to_owned()).at(at))
    }
}

impl World {
    fn apply(&mut self, event: Event) -> Result<()> {
        event.apply(&mut self.tree, &mut self.variables);
        self.events.push(event);
        Ok(())
    }

    fn used(&self) -> Bytes {
        let size = |node: &Node| match node {
            Node::File(bytes) => round_up(bytes.len()),
            _ => UNIT,
        };
        self.tree.values().map(size).fold(Bytes::ZERO, Bytes::saturating_add)
    }
}

fn round_up(len: usize) -> Bytes {
    let len = Bytes::new(u64::try_from(len).unwrap_or(u64::MAX));
    len.round_up(UNIT).unwrap_or(len)
}

/// The folder in memory.
#[derive(Clone, Debug)]
pub struct SimFolder {
    world: SimBoot,
    below: String,
    name: String,
}

impl SimFolder {
    fn at(&self, path: &BootPath) -> String {
        format!("{}{path}", self.below)
    }

    fn facts_now(&self) -> Facts {
        self.world.lock().facts.clone()
    }

    fn call<T>(
        &self,
        what: &str,
        path: &BootPath,
        run: impl FnOnce(&mut World, String) -> Result<T>,
    ) -> Result<T> {
        let (at, shown) = (self.at(path), super::files::shown(self, path));
        self.world.call(what, &shown, |world| {
            run(world, at).map_err(|e| e.op(what.to_owned()).at(&shown))
        })
    }
}

fn failed<T>(kind: io::ErrorKind) -> Result<T> {
    Err(Error::io(kind.into()))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl BootFolder for SimFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn facts(&self) -> Facts {
        self.facts_now()
    }

    fn room(&self) -> Result<Room> {
        self.call("look for room", &BootPath::root(), |world, _| {
            Ok(Room { free: world.capacity.saturating_sub(world.used()), unit: UNIT })
        })
    }

    fn look(&self, path: &BootPath) -> Result<Option<Kind>> {
        self.call("look", path, |world, at| {
            Ok(world.tree.get(&at).map(|node| match node {
                Node::File(bytes) => {
                    Kind::File(Bytes::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
                }
                Node::Folder => Kind::Folder,
                Node::Link(target) => Kind::Link(target.clone()),
            }))
        })
    }

    fn list(&self, folder: &BootPath) -> Result<Vec<(String, Kind)>> {
        let names = self.call("list", folder, |world, at| {
            let within = |path: &&String| parent(path) == at.trim_end_matches('/');
            let names = world.tree.keys().filter(within);
            let names = names.filter_map(|path| path.rsplit('/').next());
            Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        })?;
        let kind = |name: String| {
            let at = self.at(&folder.join(&name)?);
            let world = self.world.lock();
            let kind = match world.tree.get(&at) {
                Some(Node::File(bytes)) => {
                    Kind::File(Bytes::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
                }
                Some(Node::Link(target)) => Kind::Link(target.clone()),
                _ => Kind::Folder,
            };
            Ok((name, kind))
        };
        names.into_iter().map(kind).collect()
    }

    fn read(&self, file: &BootPath, most: Bytes) -> Result<Option<Vec<u8>>> {
        self.call("read", file, |world, at| match world.tree.get(&at) {
            Some(Node::File(bytes)) if bytes.len() > usize::try_from(most.get()).unwrap_or(0) => {
                Err(Error::new(ErrorKind::Unsupported, "it is too large"))
            }
            Some(Node::File(bytes)) => Ok(Some(bytes.to_vec())),
            Some(_) => failed(io::ErrorKind::InvalidInput),
            None => Ok(None),
        })
    }

    fn open(&self, file: &BootPath) -> Result<Box<dyn Read + '_>> {
        self.call("open", file, |world, at| match world.tree.get(&at) {
            Some(Node::File(bytes)) => {
                let from: Box<dyn Read> = Box::new(io::Cursor::new(Arc::clone(bytes)));
                Ok(from)
            }
            _ => failed(io::ErrorKind::NotFound),
        })
    }

    fn make_folder(&self, folder: &BootPath) -> Result<()> {
        self.call("make a folder", folder, |world, at| {
            if world.tree.contains_key(&at) {
                return failed(io::ErrorKind::AlreadyExists);
            }
            world.apply(Event::Make(at, Node::Folder))
        })
    }

    fn write_new(&self, file: &BootPath, from: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).context("write", super::files::shown(self, file))?;
        self.call("write", file, |world, at| {
            if world.tree.contains_key(&at) {
                return failed(io::ErrorKind::AlreadyExists);
            }
            let above = parent(&at).to_owned();
            if !above.is_empty() && !matches!(world.tree.get(&above), Some(Node::Folder)) {
                return failed(io::ErrorKind::NotFound);
            }
            if world.capacity.saturating_sub(world.used()) < round_up(bytes.len()) {
                return failed(io::ErrorKind::StorageFull);
            }
            world.apply(Event::Make(at, Node::File(bytes.into())))
        })
    }

    fn overwrite(&self, file: &BootPath, at: Bytes, bytes: &[u8]) -> Result<()> {
        self.call("write over", file, |world, path| {
            let start = usize::try_from(at.get()).unwrap_or(usize::MAX);
            let end = start.saturating_add(bytes.len());
            match world.tree.get(&path) {
                Some(Node::File(old)) if end <= old.len() => {
                    world.apply(Event::Overwrite(path, start, bytes.to_vec()))
                }
                _ => failed(io::ErrorKind::InvalidInput),
            }
        })
    }

    fn append(&self, file: &BootPath, bytes: &[u8]) -> Result<()> {
        self.call("add to", file, |world, at| match world.tree.get(&at) {
            Some(Node::File(_)) => world.apply(Event::Append(at, bytes.to_vec())),
            _ => failed(io::ErrorKind::NotFound),
        })
    }

    fn rename(&self, from: &BootPath, to: &BootPath) -> Result<()> {
        let to = self.at(to);
        self.call("rename", from, |world, from| {
            if !matches!(world.tree.get(&from), Some(Node::File(_))) {
                return failed(io::ErrorKind::NotFound);
            }
            if world.tree.contains_key(&to) {
                return failed(io::ErrorKind::AlreadyExists);
            }
            world.apply(Event::Rename(from, to))
        })
    }

    fn remove(&self, path: &BootPath) -> Result<()> {
        self.call("remove", path, |world, at| {
            let filled = world.tree.keys().any(|path| parent(path) == at);
            match world.tree.get(&at) {
                None => failed(io::ErrorKind::NotFound),
                Some(Node::Folder) if filled => failed(io::ErrorKind::DirectoryNotEmpty),
                Some(_) => world.apply(Event::Remove(at)),
            }
        })
    }

    fn sync(&self, folder: &BootPath) -> Result<()> {
        self.call("sync", folder, |world, at| {
            if world.lazy {
                return Ok(());
            }
            world.apply(Event::Sync(at.trim_end_matches('/').to_owned()))
        })
    }

    fn settle(&self) -> Result<()> {
        self.call("settle", &BootPath::root(), |world, _| {
            if world.lazy { Ok(()) } else { world.apply(Event::Settle) }
        })
    }
}

/// The variables in memory.
#[derive(Clone, Debug)]
pub struct SimVars {
    world: SimBoot,
}

impl EfiVars for SimVars {
    fn get(&self, variable: Variable) -> Result<Option<Vec<u8>>> {
        let get = |world: &mut World| Ok(world.variables.get(&variable).cloned());
        self.world.call("read a variable", variable.name(), get)
    }

    fn set(&self, variable: Variable, value: &[u8]) -> Result<()> {
        let set = |world: &mut World| world.apply(Event::Set(variable, Some(value.to_vec())));
        self.world.call("set a variable", variable.name(), set)
    }

    fn remove(&self, variable: Variable) -> Result<()> {
        let remove = |world: &mut World| world.apply(Event::Set(variable, None));
        self.world.call("remove a variable", variable.name(), remove)
    }
}
