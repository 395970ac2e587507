//! GRUB: with entry files, which Fedora's reads itself, and without, where a menu is made of them.

mod bls;
mod cfg;
mod custom;
pub mod env;
mod menu;
mod plain;
mod script;

pub(super) use bls::GrubBls;
pub(super) use plain::Grub;

use super::entry::Entry;
use super::files::{self, shown};
use super::folder::{BootFolder, BootPath, Kind};
use super::loader::OnTrial;
use super::name::{EntryName, Pair};
use super::shelf::Shelf;
use super::state::{Found, Own, Problem, Trial};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;
use cfg::GrubCfg;
use env::GrubEnv;
use menu::{COUNTER, Menu, MenuTrial, NEXT, SUCCESS, TRIAL};

/// Longest file of GRUB's that is read.
const LONGEST: Bytes = Bytes::mib(4);

/// A copy of custom.cfg while it is written, on FAT.
const KEPT: &str = "custom.cfg.imgbase-kept";

/// GRUB's own folder.
#[derive(Clone)]
struct Files<'b> {
    folder: &'b dyn BootFolder,
    place: BootPath,
}

impl Files<'_> {
    fn path(&self, name: &str) -> BootPath {
        self.place.join(name).expect("a name without slashes")
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.folder.read(&self.path(name), LONGEST)
    }

    fn cfg(&self) -> Result<GrubCfg> {
        let bytes = self.read("grub.cfg")?.unwrap_or_default();
        Ok(GrubCfg::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// The menu that is in force: the one before it where there is none.
    fn menu(&self) -> Result<Menu> {
        let bytes = match self.read(custom::MENU)? {
            Some(bytes) => Some(bytes),
            None => self.read(custom::BEFORE)?,
        };
        Ok(bytes.map(|bytes| Menu::parse(&bytes)).unwrap_or_default())
    }

    /// True where GRUB reads the menu.
    fn reads_menu(&self, cfg: &GrubCfg) -> Result<bool> {
        let custom = self.read("custom.cfg")?.unwrap_or_default();
        Ok(cfg.reads_custom && custom::has_lines(&custom))
    }

    /// Puts a menu in force.
    ///
    /// # Commit point
    /// Its rename; on FAT, where that may leave none, a copy of the one before it lies beside it.
    fn write_menu(&self, bytes: &[u8]) -> Result<()> {
        let fat = self.folder.facts().fat;
        match self.read(custom::MENU)? {
            Some(old) if old == bytes => {}
            Some(old) if fat => {
                self.write_copy(&old)?;
                files::replace(self.folder, &self.path(custom::MENU), bytes)?;
            }
            _ => files::replace(self.folder, &self.path(custom::MENU), bytes)?,
        }
        // The copy names no kernel that is not in use.
        if fat { self.write_copy(bytes) } else { Ok(()) }
    }

    fn write_copy(&self, bytes: &[u8]) -> Result<()> {
        if self.read(custom::BEFORE)?.as_deref() == Some(bytes) {
            return Ok(());
        }
        files::replace(self.folder, &self.path(custom::BEFORE), bytes)
    }

    /// Sees to it that custom.cfg leads to the menu. Its other lines stay to the byte.
    fn write_custom(&self) -> Result<()> {
        let (path, kept) = (self.path("custom.cfg"), self.path(KEPT));
        let fat = self.folder.facts().fat;
        if fat && self.folder.look(&path)?.is_none() && self.folder.look(&kept)?.is_some() {
            // A power cut took it while it was written.
            let bytes = self.read(KEPT)?.unwrap_or_default();
            files::create(self.folder, &path, &mut bytes.as_slice())?;
        }
        let old = self.read("custom.cfg")?;
        let new = custom::with_lines(old.as_deref().unwrap_or_default());
        if old.as_deref() != Some(&new) {
            if let (true, Some(old)) = (fat, &old) {
                files::replace(self.folder, &kept, old)?;
            }
            files::replace(self.folder, &path, &new)?;
        }
        if fat { files::remove(self.folder, &kept) } else { Ok(()) }
    }

    /// Where grubenv is: Fedora's may be a link to the EFI partition, below the same folder.
    fn env_path(&self) -> Result<BootPath> {
        let path = self.path("grubenv");
        let Some(Kind::Link(target)) = self.folder.look(&path)? else { return Ok(path) };
        self.place.follow(&target).ok_or_else(|| {
            let why = format!("it is a link to {target}, out of the boot folder");
            Error::new(ErrorKind::Unsupported, why).at(shown(self.folder, &path))
        })
    }

    fn env(&self) -> Result<GrubEnv> {
        env::read(self.folder, &self.env_path()?)
    }

    /// True where there is a block that GRUB can read.
    fn has_env(&self) -> Result<bool> {
        match self.env() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_env(&self, new: &GrubEnv) -> Result<()> {
        let path = self.env_path()?;
        let old = self.folder.read(&path, LONGEST)?;
        if old.as_deref() == Some(&new.bytes()) {
            return Ok(());
        }
        env::write(self.folder, &path, new)
    }

    /// Drops the count of a trial that is over, and what was to boot once where `once` says so.
    fn end_trial(&self, succeeded: bool, once: bool) -> Result<()> {
        let old = self.env()?;
        let mut env = old.clone();
        if once && env.get(NEXT).is_some_and(|next| !next.is_empty()) {
            env.set(NEXT, "")?;
        }
        if env.get(TRIAL).is_some() {
            env.unset(TRIAL);
            env.unset(COUNTER);
            env.set(SUCCESS, if succeeded { "1" } else { "0" })?;
        }
        if env == old { Ok(()) } else { self.write_env(&env) }
    }

    /// A number that no trial had, and proof that GRUB has room to count.
    fn new_trial(&self, menu: &Menu) -> Result<u32> {
        let mut env = self.env()?;
        let named = env.get(TRIAL).and_then(|number| number.parse::<u32>().ok());
        let numbers = menu.trials.iter().map(|trial| trial.number).chain(named);
        let number = numbers.max().unwrap_or(0).wrapping_add(1);
        for (name, value) in
            [(TRIAL, number.to_string()), (COUNTER, "9".into()), (SUCCESS, "0".into())]
        {
            env.set(name, &value)?;
        }
        // GRUB cannot make the file.
        if self.folder.look(&self.env_path()?)?.is_none() {
            env::write(self.folder, &self.env_path()?, &GrubEnv::default())?;
        }
        Ok(number)
    }

    fn trial(&self, menu: &Menu, id: String, on: &OnTrial<'_>) -> Result<MenuTrial> {
        let number = self.new_trial(menu)?;
        Ok(MenuTrial { number, tries: on.tries, id, fallback: on.fallback.id.clone() })
    }

    /// grubenv as far as it can be read, and what is wrong with it.
    fn seen_env(&self, problems: &mut Vec<Problem>) -> Result<GrubEnv> {
        match self.env() {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                problems
                    .push(Problem::Malformed { file: self.path("grubenv"), why: error.reason() });
                Ok(GrubEnv::default())
            }
            env => env,
        }
    }
}

/// Tries of a trial that are left.
fn left(trial: &MenuTrial, env: &GrubEnv) -> u32 {
    let number = |name| env.get(name).and_then(|text| text.parse::<i32>().ok());
    let tries = trial.tries.get();
    if number(TRIAL).and_then(|number| u32::try_from(number).ok()) != Some(trial.number) {
        return tries;
    }
    u32::try_from(number(COUNTER).unwrap_or(0)).unwrap_or(0).min(tries)
}

fn by_id(entries: &[Found], id: &str) -> Option<usize> {
    entries.iter().position(|found| found.id == id)
}

fn trials(entries: &[Found], menu: &Menu, env: &GrubEnv, default: Option<&str>) -> Vec<Trial> {
    let trial = |trial: &MenuTrial| {
        let left = left(trial, env);
        Some(Trial {
            entry: by_id(entries, &trial.id)?,
            fallback: by_id(entries, &trial.fallback),
            left: Some(left),
            done: trial.tries.get().saturating_sub(left),
            current: default == Some(trial.id.as_str()),
        })
    };
    menu.trials.iter().filter_map(trial).collect()
}

fn own(found: &Found) -> Result<&Own> {
    found.own.as_ref().ok_or_else(|| {
        let why = "it is no layer's entry: entries of others stay as they are";
        Error::new(ErrorKind::Invalid, why).at(&found.path)
    })
}

/// The other entries of the same layer and kernel.
fn others<'s>(all: &'s [Found], pair: &Pair, id: &str) -> Vec<&'s Found> {
    let same = all.iter().filter(|found| {
        found.id != id && found.own.as_ref().is_some_and(|own| own.name.pair == *pair)
    });
    same.collect()
}

/// The folder's entries, by the ids that GRUB has.
fn read(shelf: &Shelf<'_>) -> Result<Vec<Found>> {
    let mut all = shelf.read()?;
    for found in &mut all {
        found.id = id_of(found.path.name());
        found.counter = None;
    }
    Ok(all)
}

fn id_of(file: &str) -> String {
    file.strip_suffix(".conf").unwrap_or(file).to_owned()
}

/// Adds an entry's file; gives its id.
fn create(shelf: &Shelf<'_>, all: &[Found], pair: &Pair, entry: &Entry) -> Result<String> {
    let name = shelf.free_name(all, &EntryName::plain(pair.clone(), 0))?;
    shelf.create(&name, entry)?;
    Ok(id_of(&name.file()))
}

impl Menu {
    /// Puts an id in the place of others.
    fn rename(&mut self, old: &[&Found], new: &str) {
        let is_old = |id: &String| old.iter().any(|found| found.id == *id);
        let ids = self.trials.iter_mut().flat_map(|trial| [&mut trial.id, &mut trial.fallback]);
        for id in ids.chain(&mut self.default).filter(|id| is_old(id)) {
            new.clone_into(id);
        }
    }
}
