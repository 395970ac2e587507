//! The boot folder in a dry run: read for real, written on paper.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Notes;
use crate::boot::Place;
use crate::boot::folder::{BootFolder, BootPath, Facts, Kind, Room};
use crate::boot::vars::{EfiVars, Variable};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::machine::BootAt;
use crate::order::Gather;
use crate::units::Bytes;

/// Larger files are drained and not kept.
const KEPT: u64 = 1 << 20;

/// What a path stands for on paper.
#[derive(Clone)]
enum Paper {
    Gone,
    Folder,
    Small(Vec<u8>),
    Large(Bytes),
}

/// A folder.
pub(super) struct DryFolder<'m> {
    real: &'m dyn BootFolder,
    notes: Notes,
    paper: Mutex<BTreeMap<BootPath, Paper>>,
}

impl<'m> DryFolder<'m> {
    pub(super) fn new(real: &'m dyn BootFolder, notes: Notes) -> Self {
        Self { real, notes, paper: Mutex::default() }
    }

    fn paper(&self) -> MutexGuard<'_, BTreeMap<BootPath, Paper>> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_paper(&self, path: &BootPath) -> Option<Paper> {
        self.paper().get(path).cloned()
    }

    fn set(&self, path: &BootPath, paper: Paper) {
        self.paper().insert(path.clone(), paper);
    }

    fn note(&self, what: &str, path: &BootPath) {
        self.notes.add(format!("{what} {}/{path}", self.real.name()));
    }

    fn missing(&self, path: &BootPath) -> Error {
        let error = Error::new(ErrorKind::NotFound, "there is no such file");
        error.at(format_args!("{}/{path}", self.real.name()))
    }
}

impl Paper {
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Gone => None,
            Self::Folder => Some(Kind::Folder),
            Self::Small(bytes) => {
                Some(Kind::File(Bytes::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX))))
            }
            Self::Large(size) => Some(Kind::File(*size)),
        }
    }
}

impl BootFolder for DryFolder<'_> {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn facts(&self) -> Facts {
        self.real.facts()
    }

    fn room(&self) -> Result<Room> {
        self.real.room()
    }

    fn look(&self, path: &BootPath) -> Result<Option<Kind>> {
        match self.on_paper(path) {
            Some(paper) => Ok(paper.kind()),
            None => self.real.look(path),
        }
    }

    fn list(&self, folder: &BootPath) -> Result<Vec<(String, Kind)>> {
        let mut all: BTreeMap<String, Kind> = self.real.list(folder)?.into_iter().gather();
        for (path, paper) in self.paper().iter().filter(|(path, _)| path.parent() == *folder) {
            match paper.kind() {
                Some(kind) => all.insert(path.name().to_owned(), kind),
                None => all.remove(path.name()),
            };
        }
        Ok(all.into_iter().collect())
    }

    fn read(&self, file: &BootPath, most: Bytes) -> Result<Option<Vec<u8>>> {
        match self.on_paper(file) {
            Some(Paper::Small(bytes)) => Ok(Some(bytes)),
            Some(_) => Ok(None),
            None => self.real.read(file, most),
        }
    }

    fn open(&self, file: &BootPath) -> Result<Box<dyn Read + '_>> {
        match self.on_paper(file) {
            Some(Paper::Small(bytes)) => Ok(Box::new(Cursor::new(bytes))),
            Some(_) => Err(self.missing(file)),
            None => self.real.open(file),
        }
    }

    fn is_on_paper(&self, file: &BootPath) -> bool {
        matches!(self.on_paper(file), Some(Paper::Large(_)))
    }

    fn make_folder(&self, folder: &BootPath) -> Result<()> {
        self.note("make the folder", folder);
        self.set(folder, Paper::Folder);
        Ok(())
    }

    fn write_new(&self, file: &BootPath, from: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        let at = || format!("{}/{file}", self.real.name());
        from.take(KEPT).read_to_end(&mut bytes).context("read what is to be written to", at())?;
        let more = std::io::copy(from, &mut std::io::sink())
            .context("read what is to be written to", at())?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_add(more);
        self.notes.add(format!("write {len} bytes to {}", at()));
        self.set(file, if more == 0 { Paper::Small(bytes) } else { Paper::Large(Bytes::new(len)) });
        Ok(())
    }

    fn overwrite(&self, file: &BootPath, at: Bytes, bytes: &[u8]) -> Result<()> {
        let mut whole = self.read(file, Bytes::new(KEPT))?.ok_or_else(|| self.missing(file))?;
        let start = usize::try_from(at.get()).unwrap_or(usize::MAX);
        let place = start.checked_add(bytes.len()).and_then(|end| whole.get_mut(start..end));
        place.ok_or_else(|| self.missing(file))?.copy_from_slice(bytes);
        self.note("write into", file);
        self.set(file, Paper::Small(whole));
        Ok(())
    }

    fn append(&self, file: &BootPath, bytes: &[u8]) -> Result<()> {
        let mut whole = self.read(file, Bytes::new(KEPT))?.ok_or_else(|| self.missing(file))?;
        whole.extend_from_slice(bytes);
        self.note("write at the end of", file);
        self.set(file, Paper::Small(whole));
        Ok(())
    }

    fn rename(&self, from: &BootPath, to: &BootPath) -> Result<()> {
        let paper = match self.on_paper(from) {
            Some(paper) => paper,
            None => Paper::Small(
                self.real.read(from, Bytes::new(KEPT))?.ok_or_else(|| self.missing(from))?,
            ),
        };
        self.notes.add(format!("rename {}/{from} to {}", self.real.name(), to.name()));
        self.set(to, paper);
        self.set(from, Paper::Gone);
        Ok(())
    }

    fn remove(&self, path: &BootPath) -> Result<()> {
        self.note("remove", path);
        self.set(path, Paper::Gone);
        Ok(())
    }

    fn sync(&self, folder: &BootPath) -> Result<()> {
        self.note("sync", folder);
        Ok(())
    }
}

/// The machine's variables: read for real, set on paper.
pub(super) struct DryVars<'m> {
    real: &'m dyn EfiVars,
    notes: Notes,
    paper: Mutex<BTreeMap<&'static str, Option<Vec<u8>>>>,
}

impl<'m> DryVars<'m> {
    pub(super) fn new(real: &'m dyn EfiVars, notes: Notes) -> Self {
        Self { real, notes, paper: Mutex::default() }
    }

    fn paper(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Vec<u8>>>> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EfiVars for DryVars<'_> {
    fn get(&self, variable: Variable) -> Result<Option<Vec<u8>>> {
        match self.paper().get(variable.name()) {
            Some(value) => Ok(value.clone()),
            None => self.real.get(variable),
        }
    }

    fn set(&self, variable: Variable, value: &[u8]) -> Result<()> {
        self.notes.add(format!("set the EFI variable {}", variable.name()));
        self.paper().insert(variable.name(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&self, variable: Variable) -> Result<()> {
        self.notes.add(format!("remove the EFI variable {}", variable.name()));
        self.paper().insert(variable.name(), None);
        Ok(())
    }
}

/// The folders and variables of a machine, on paper.
pub(super) struct DryBoot<'m> {
    boot: DryFolder<'m>,
    esp: Option<DryFolder<'m>>,
    vars: Option<DryVars<'m>>,
    real: BootAt<'m>,
}

impl<'m> DryBoot<'m> {
    pub(super) fn new(real: BootAt<'m>, notes: &Notes) -> Self {
        Self {
            boot: DryFolder::new(real.place.boot, notes.clone()),
            esp: real.place.esp.map(|esp| DryFolder::new(esp, notes.clone())),
            vars: real.place.vars.map(|vars| DryVars::new(vars, notes.clone())),
            real,
        }
    }

    pub(super) fn at(&self) -> BootAt<'_> {
        let place = Place {
            boot: &self.boot,
            esp: self.esp.as_ref().map(|esp| -> &dyn BootFolder { esp }),
            vars: self.vars.as_ref().map(|vars| -> &dyn EfiVars { vars }),
        };
        BootAt { place, ..self.real }
    }
}
