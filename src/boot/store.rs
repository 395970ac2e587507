//! Kernels, initial file systems and what belongs to them, in the boot folder by content: layers
//! with the same kernel share one copy.
//!
//! `imgbase/DIGEST/NAME`, where the digest is that of the names and contents of all files in that
//! folder: a kernel and the checksum beside it stay together. A file has its name only once it is
//! whole. What an entry names, anybody's entry, is in use.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::files::{self, shown};
use super::folder::{BootFolder, BootPath, Kind, Room};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::units::Bytes;

/// The folder of the store.
const STORE: &str = "imgbase";

/// Bytes of a digest that name a folder.
const DIGEST: usize = 16;

/// Units of room for what comes beside files: names, an entry, a menu.
const BESIDE: u64 = 8;

/// Something that can be read more than once.
pub trait Reopen {
    /// Opens it, to be read from its beginning.
    ///
    /// # Errors
    /// As the file system gives them.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl<F, R> Reopen for F
where
    F: Fn() -> io::Result<R>,
    R: Read + 'static,
{
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self()?))
    }
}

/// A file to be stored. It is read more than once.
pub struct Source<'a> {
    /// What it is to be called.
    pub name: &'a str,
    /// Where its bytes come from.
    pub from: &'a dyn Reopen,
}

/// What a kernel needs to start.
#[derive(Default)]
pub struct Artefacts<'a> {
    /// The kernel.
    pub linux: Option<Source<'a>>,
    /// What must lie beside the kernel: its `.hmac`.
    pub beside: Vec<Source<'a>>,
    /// Microcode and initial file systems, in the order in which they are loaded.
    pub initrds: Vec<Source<'a>>,
    /// The device tree.
    pub devicetree: Option<Source<'a>>,
}

/// Where they are, as paths in the boot folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub(super) linux: BootPath,
    pub(super) initrds: Vec<BootPath>,
    pub(super) devicetree: Option<BootPath>,
}

/// Files that lie in one folder.
struct Group<'p, 'a> {
    folder: BootPath,
    files: Vec<Item<'p, 'a>>,
}

struct Item<'p, 'a> {
    source: &'p Source<'a>,
    path: BootPath,
    digest: Digest,
    size: u64,
    /// True where it lies there already, with that content.
    there: bool,
}

/// How much room files of these sizes take, which belong to one kernel, and what comes beside.
pub(super) fn room_for(unit: Bytes, sizes: impl Iterator<Item = Bytes>) -> Bytes {
    let beside = unit.checked_mul(BESIDE).unwrap_or(unit);
    let each = sizes.map(|size| {
        // The file, and its folder.
        size.round_up(unit).unwrap_or(Bytes::new(u64::MAX)).saturating_add(unit)
    });
    each.fold(beside, Bytes::saturating_add)
}

/// What is to be stored, looked at.
pub(super) struct Plan<'p, 'a> {
    groups: Vec<Group<'p, 'a>>,
    stored: Stored,
}

impl<'p, 'a> Plan<'p, 'a> {
    /// Reads all of it, and what of it is there already.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a name that not every loader takes, or without a kernel;
    /// [`Io`](ErrorKind::Io).
    pub(super) fn make(folder: &dyn BootFolder, artefacts: &'p Artefacts<'a>) -> Result<Self> {
        let kernel = artefacts
            .linux
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "there is no kernel to be started"))?;
        let mut groups = vec![Group::read(folder, [kernel].into_iter().chain(&artefacts.beside))?];
        for single in artefacts.initrds.iter().chain(&artefacts.devicetree) {
            groups.push(Group::read(folder, [single])?);
        }
        let first = |group: &Group<'_, '_>| group.files.first().map(|item| item.path.clone());
        let mut paths = groups.iter().filter_map(first);
        let linux = paths.next().unwrap_or_default();
        let initrds = paths.by_ref().take(artefacts.initrds.len()).collect();
        let stored = Stored { linux, initrds, devicetree: paths.next() };
        Ok(Self { groups, stored })
    }

    fn missing(&self) -> impl Iterator<Item = &Item<'p, 'a>> {
        self.groups.iter().flat_map(|group| &group.files).filter(|item| !item.there)
    }

    /// How much room storing it takes.
    pub(super) fn need(&self, unit: Bytes) -> Bytes {
        let mut seen = BTreeSet::new();
        let missing = self.missing().filter(|item| seen.insert(&item.path));
        room_for(unit, missing.map(|item| Bytes::new(item.size)))
    }

    /// Fails where there is not that much room above the reserve.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) with both figures.
    pub(super) fn check_room(&self, folder: &dyn BootFolder, reserve: Bytes) -> Result<Bytes> {
        let Room { free, unit } = folder.room()?;
        let (need, have) = (self.need(unit), free.saturating_sub(reserve));
        if need <= have {
            return Ok(need);
        }
        let why = format!(
            "{} bytes are needed and {} are free, not counting {} in reserve: remove layers whose \
             kernel no other has",
            need.get(),
            have.get(),
            reserve.get()
        );
        let error = Error::new(ErrorKind::NoSpace { need, have }, why);
        Err(error.op("store the kernel").at(folder.name()).kept("nothing was changed"))
    }

    /// Stores what is missing, durably, and reads it back.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where what was read back is not what was read first;
    /// [`NoSpace`](ErrorKind::NoSpace), [`Io`](ErrorKind::Io). What is stored by then is in nobody's
    /// way.
    pub(super) fn store(self, folder: &dyn BootFolder) -> Result<Stored> {
        for group in &self.groups {
            for item in group.files.iter().filter(|item| !item.there) {
                files::make_folder(folder, &group.folder)?;
                item.store(folder)?;
            }
        }
        Ok(self.stored)
    }
}

impl<'p, 'a: 'p> Group<'p, 'a> {
    fn read(
        folder: &dyn BootFolder,
        sources: impl IntoIterator<Item = &'p Source<'a>>,
    ) -> Result<Self> {
        let (mut read, mut all) = (Vec::new(), String::new());
        for source in sources {
            check_name(source.name)?;
            let opened = source.from.open().context("read a boot file", source.name)?;
            let mut opened = opened;
            let read_all = Digest::read(&mut *opened).context("read a boot file", source.name)?;
            all.push_str(&format!("{} {}\n", read_all.0.hex(32), source.name));
            read.push((source, read_all));
        }
        let name = Digest::of(all.as_bytes()).hex(DIGEST);
        let place = store().join(&name)?;
        let item = |(source, (digest, size)): (&'p Source<'a>, _)| {
            let path = place.join(source.name)?;
            let there = is_there(folder, &path, digest, size)?;
            Ok(Item { source, path, digest, size, there })
        };
        let files = read.into_iter().map(item).collect::<Result<_>>()?;
        Ok(Self { folder: place, files })
    }
}

impl Item<'_, '_> {
    fn store(&self, folder: &dyn BootFolder) -> Result<()> {
        // What is there under that name is damaged: nothing can have been relying on it.
        files::remove(folder, &self.path)?;
        let at = || shown(folder, &self.path);
        let mut from = self.source.from.open().context("read a boot file", self.source.name)?;
        files::create(folder, &self.path, &mut *from)?;
        if is_there(folder, &self.path, self.digest, self.size)? {
            return Ok(());
        }
        files::remove(folder, &self.path)?;
        let why = "what was read back is not what was written, or the source has changed";
        Err(Error::new(ErrorKind::Corrupt, why).op("store a boot file").at(at()))
    }
}

fn is_there(folder: &dyn BootFolder, path: &BootPath, digest: Digest, size: u64) -> Result<bool> {
    if folder.look(path)? != Some(Kind::File(Bytes::new(size))) {
        return Ok(false);
    }
    if folder.is_on_paper(path) {
        return Ok(true);
    }
    let mut file = folder.open(path)?;
    let read = Digest::read(&mut *file).context("read back a boot file", shown(folder, path))?;
    Ok(read == (digest, size))
}

/// A name in the store stands in entries of every loader, unquoted.
fn check_name(name: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.~".contains(&byte);
    if !name.is_empty() && name.len() <= 200 && name.bytes().all(good) && !files::is_temporary(name)
    {
        return Ok(());
    }
    let why = "a boot file's name has 1 to 200 ASCII letters, digits and + - _ . ~";
    Err(Error::new(ErrorKind::Invalid, why).at(format_args!("'{name}'")))
}

fn store() -> BootPath {
    STORE.parse().expect("it is a path")
}

/// Adds to `used` the folders of the store that a text names, with `/` or with `\`.
pub(super) fn named_in(text: &[u8], used: &mut BTreeSet<String>) {
    let digits = DIGEST.saturating_mul(2);
    let is = |slash: Option<&u8>| slash.is_some_and(|byte| b"/\\".contains(byte));
    for (at, _) in text.windows(STORE.len()).enumerate().filter(|(_, w)| *w == STORE.as_bytes()) {
        let rest = text.get(at.saturating_add(STORE.len())..).unwrap_or_default();
        let Some((slash, rest)) = rest.split_first() else { continue };
        let Some((name, rest)) = rest.split_at_checked(digits) else { continue };
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if is(Some(slash)) && is(rest.first()) && is_digest(name) {
            used.insert(name.to_owned());
        }
    }
}

fn is_digest(name: &str) -> bool {
    name.len() == DIGEST.saturating_mul(2)
        && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Folders of the store that are not in use.
///
/// # Errors
/// What the folder gives.
pub(super) fn unused(folder: &dyn BootFolder, used: &BTreeSet<String>) -> Result<Vec<BootPath>> {
    let all = folder.list(&store())?;
    let spare = all
        .into_iter()
        .filter(|(name, kind)| *kind == Kind::Folder && is_digest(name) && !used.contains(name));
    spare.map(|(name, _)| Ok(store().join(&name)?)).collect()
}

/// Removes a folder of the store and the files in it.
///
/// # Errors
/// What the folder gives; [`Exists`](ErrorKind::Exists) where a folder lies in it.
pub(super) fn remove(folder: &dyn BootFolder, place: &BootPath) -> Result<()> {
    for (name, kind) in folder.list(place)? {
        let path = place.join(&name)?;
        if kind == Kind::Folder {
            let error = Error::new(ErrorKind::Exists, "there is a folder in it that is not ours");
            return Err(error.op("remove a stored kernel").at(shown(folder, &path)));
        }
        folder.remove(&path)?;
    }
    folder.sync(place)?;
    files::remove(folder, place)
}
