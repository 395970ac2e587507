//! A folder of entry files.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::files::{self, shown};
use super::folder::{BootFolder, BootPath, Kind};
use super::name::{Counter, EntryName, KernelVersion, PREFIX, Pair};
use super::own;
use super::state::{Found, Own, Problem};
use crate::error::{Error, ErrorKind, Result};
use crate::name::VgName;
use crate::units::Bytes;

/// Longest file that is read as an entry; GRUB reads no longer one.
const LONGEST: Bytes = Bytes::mib(1);

/// So often a folder is read that others change meanwhile.
const PATIENCE: u32 = 100;

/// Where entries lie, and whose are ours.
#[derive(Clone)]
pub(super) struct Shelf<'b> {
    pub(super) folder: &'b dyn BootFolder,
    pub(super) place: BootPath,
    pub(super) vg: VgName,
}

impl<'b> Shelf<'b> {
    pub(super) fn new(folder: &'b dyn BootFolder, place: &str, vg: &VgName) -> Self {
        let place = place.parse().expect("it is a path");
        Self { folder, place, vg: vg.clone() }
    }

    /// All entries, sorted by file name. Where another program renames one meanwhile, as
    /// systemd-bless-boot does, they are read again.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where they change all the time; what the folder gives.
    pub(super) fn read(&self) -> Result<Vec<Found>> {
        for _ in 0..PATIENCE {
            if let Some(found) = self.read_once()? {
                return Ok(found);
            }
        }
        let error = Error::new(ErrorKind::Busy, "its files are renamed all the time");
        Err(error.op("read boot entries").at(shown(self.folder, &self.place)))
    }

    /// Nothing where a file went before it was read.
    fn read_once(&self) -> Result<Option<Vec<Found>>> {
        let (mut found, mut known) = (Vec::new(), Known::new());
        for (name, kind) in self.folder.list(&self.place)? {
            let Kind::File(size) = kind else { continue };
            if !is_entry(&name) || size > LONGEST {
                continue;
            }
            let path = self.place.join(&name)?;
            let Some(bytes) = self.folder.read(&path, LONGEST)? else { return Ok(None) };
            found.push(self.found(path, &bytes, &mut known)?);
        }
        Ok(Some(found))
    }

    fn found(&self, path: BootPath, bytes: &[u8], known: &mut Known) -> Result<Found> {
        let name = path.name();
        let entry = Entry::parse(bytes);
        let (id, counter) = Counter::split(name);
        let own = self.own(name, &entry);
        let title = entry.title().unwrap_or(name).to_owned();
        let missing = self.missing(&entry, known)?;
        let kernel = entry.linux().and_then(|linux| self.inside(&linux.replace('\\', "/")));
        let listed = entry.has_kernel() && kernel.is_none_or(|kernel| !missing.contains(&kernel));
        Ok(Found { path, id, entry, title, counter, own, missing, listed })
    }

    /// Where it is a layer's: by its name, and by where its arguments lead.
    fn own(&self, file: &str, entry: &Entry) -> Option<Own> {
        let name = EntryName::parse(file)?;
        let layer = own::layer_of(&entry.args(), &self.vg)?;
        let kernel: KernelVersion = entry.kernel()?.parse().ok()?;
        (name.pair == Pair::new(&layer, &kernel)).then_some(Own { layer, kernel, name })
    }

    /// Files that it names in this folder, and that are not there.
    fn missing(&self, entry: &Entry, known: &mut Known) -> Result<Vec<BootPath>> {
        let mut missing = Vec::new();
        for file in entry.files() {
            let Some(path) = self.inside(&file) else { continue };
            let is_there = match known.iter().find(|(known, _)| *known == path) {
                Some((_, is_there)) => *is_there,
                None => {
                    let kind = self.folder.look(&path)?;
                    let is_there = matches!(kind, Some(Kind::File(_) | Kind::Link(_)));
                    known.push((path.clone(), is_there));
                    is_there
                }
            };
            if !is_there {
                missing.push(path);
            }
        }
        Ok(missing)
    }

    /// A path that an entry gives, as one in the folder.
    fn inside(&self, file: &str) -> Option<BootPath> {
        let rest = file.strip_prefix(self.folder.facts().prefix.as_str())?;
        rest.trim_start_matches('/').parse().ok()
    }

    /// What an entry calls a file of the folder.
    pub(super) fn outside(&self, path: &BootPath) -> String {
        format!("{}/{path}", self.folder.facts().prefix)
    }

    /// Makes the folder of entries, and where it is new says of what sort they are.
    ///
    /// # Errors
    /// What the folder gives.
    pub(super) fn prepare(&self, sort: Option<&str>) -> Result<()> {
        let new = files::make_folder(self.folder, &self.place)?;
        let (true, Some(sort)) = (new, sort) else { return Ok(()) };
        let marker = self.place.parent().join("entries.srel")?;
        if self.folder.look(&marker)?.is_some() {
            return Ok(());
        }
        files::create(self.folder, &marker, &mut sort.as_bytes())
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`Exists`](ErrorKind::Exists); what the folder gives.
    ///
    /// # Commit point
    /// The rename; it is durable when this returns.
    pub(super) fn create(&self, name: &EntryName, entry: &Entry) -> Result<()> {
        let file = self.place.join(&name.file())?;
        files::create(self.folder, &file, &mut entry.bytes().as_slice())
    }

    /// Removes files, durably.
    ///
    /// # Errors
    /// What the folder gives.
    pub(super) fn remove<'f>(&self, gone: impl IntoIterator<Item = &'f Found>) -> Result<()> {
        let mut removed = false;
        for found in gone {
            removed |= files::unlink(self.folder, &found.path)?;
        }
        if removed { self.folder.sync(&self.place) } else { Ok(()) }
    }

    /// A name that no file has, whatever its counter.
    ///
    /// # Errors
    /// [`Exists`](ErrorKind::Exists) where another group's layer has such an entry: a loader could
    /// not tell them apart.
    pub(super) fn free_name(&self, all: &[Found], wanted: &EntryName) -> Result<EntryName> {
        let names = all.iter().filter(|found| found.path.parent() == self.place);
        let parsed = names.filter_map(|found| Some((found, EntryName::parse(found.path.name())?)));
        let (mut used, mut foreign) = (BTreeSet::new(), None);
        for (found, name) in parsed {
            if name.pair == wanted.pair && found.own.is_none() && !found.is_remains() {
                foreign = Some(found);
            }
            used.insert(name.stem());
        }
        if let Some(found) = foreign {
            let why = "a file of that name does not lead to this layer";
            let error = Error::new(ErrorKind::Exists, why).op("make a boot entry");
            return Err(error.at(shown(self.folder, &found.path)).kept("nothing was changed"));
        }
        let revisions = (0..=u32::MAX).map(|revision| EntryName { revision, ..wanted.clone() });
        let mut free = revisions.filter(|name| !used.contains(&name.stem()));
        free.next().ok_or_else(|| Error::new(ErrorKind::Exists, "every revision is used"))
    }

    /// What is wrong with entries, whatever the loader.
    pub(super) fn problems(&self, all: &[Found]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (place, found) in all.iter().enumerate() {
            let odd = found.own.is_none() && !found.is_remains();
            if odd && found.path.name().starts_with(PREFIX) {
                problems.push(Problem::Odd { file: found.path.clone() });
            }
            if found.own.is_some() && !found.missing.is_empty() {
                let (entry, files) = (found.path.clone(), found.missing.clone());
                problems.push(Problem::Missing { entry, files });
            }
            let rest = all.iter().skip(place.saturating_add(1));
            let same = rest.filter(|other| {
                other.id.eq_ignore_ascii_case(&found.id)
                    && other.path.parent() == found.path.parent()
            });
            for other in same.filter(|other| other.path != found.path) {
                let (one, other) = (found.path.clone(), other.path.clone());
                problems.push(Problem::SameStem { one, other });
            }
        }
        problems
    }
}

/// Files that entries name, and whether they are there: most entries name the same ones.
type Known = Vec<(BootPath, bool)>;

/// What loaders read as an entry.
fn is_entry(name: &str) -> bool {
    let suffix = name.len().checked_sub(5).and_then(|at| name.get(at..));
    !name.starts_with('.') && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(".conf"))
}
