//! GRUB: with entry files, which Fedora's reads itself, and without, where a menu is made of them.
//!
//! No file that GRUB reads is ever put in another's place: a menu that changes is a file of another
//! number, and what names it is written over in place. What GRUB finds without reading a journal is
//! therefore the old menu, whole, or the new one.

mod bls;
mod cfg;
mod custom;
pub mod env;
mod menu;
mod plain;
mod script;
mod switch;

pub(super) use bls::GrubBls;
pub(super) use plain::Grub;

use super::entry::Entry;
use super::files::{self, shown};
use super::folder::{BootFolder, BootPath, Kind};
use super::name::{EntryName, Pair};
use super::shelf::Shelf;
use super::state::{Found, Own, Problem};
use crate::error::{Error, ErrorKind, Result};
use crate::order;
use crate::units::Bytes;
use cfg::GrubCfg;
use env::GrubEnv;
use menu::Menu;
use switch::Switch;

/// Longest file of GRUB's that is read.
const LONGEST: Bytes = Bytes::mib(4);

/// What boots once, in grubenv: not ours, but of GRUB's own tools.
const NEXT: &str = "next_entry";

/// GRUB's own folder.
#[derive(Clone)]
struct Files<'b> {
    folder: &'b dyn BootFolder,
    place: BootPath,
}

/// What is in force.
struct InForce {
    switch: Switch,
    menu: Menu,
    /// The menu's bytes; `None` where there is none.
    bytes: Option<Vec<u8>>,
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

    /// What is in force; nothing where the block of ours is not there, or is none.
    fn in_force(&self) -> Result<InForce> {
        let block = self.read(switch::FILE)?.and_then(|bytes| GrubEnv::parse(&bytes).ok());
        let switch = block.map(|env| Switch::of(&env)).unwrap_or_default();
        let bytes = self.read(&menu_name(switch.menu))?;
        let menu = bytes.as_deref().map(Menu::parse).unwrap_or_default();
        Ok(InForce { switch, menu, bytes })
    }

    /// True where GRUB is led to the menu.
    fn leads(&self, cfg: &GrubCfg) -> Result<bool> {
        let custom = self.read("custom.cfg")?.unwrap_or_default();
        let leads = self.read(custom::LEAD)?.is_some_and(|lead| lead == custom::lead());
        Ok(leads && cfg.reads_custom && custom::has_lines(&custom))
    }

    /// What is wrong with what leads to the menu.
    fn unread(&self, cfg: &GrubCfg) -> Result<Option<Problem>> {
        if !cfg.reads_custom {
            let (file, by) = (self.path("custom.cfg"), self.path("grub.cfg"));
            return Ok(Some(Problem::Unread { file, by }));
        }
        if self.leads(cfg)? {
            return Ok(None);
        }
        let (file, by) = (self.path(switch::FILE), self.path("custom.cfg"));
        Ok(Some(Problem::Unread { file, by }))
    }

    /// Puts a menu in force, and what is to boot of it. `choose` is given its number.
    ///
    /// # Commit point
    /// The write of one sector of the block of ours. Where there was none, the lines in custom.cfg
    /// that lead to it.
    fn put_in_force(
        &self,
        before: &InForce,
        bytes: &[u8],
        choose: impl FnOnce(u32) -> Switch,
    ) -> Result<()> {
        let number = if before.bytes.as_deref() == Some(bytes) {
            before.switch.menu
        } else {
            self.write_menu(before.switch.menu, bytes)?
        };
        let block = choose(number).bytes()?;
        let path = self.path(switch::FILE);
        if self.read(switch::FILE)?.as_deref() != Some(&block) {
            env::write(self.folder, &path, &block)?;
        }
        self.write_custom()?;
        for stale in self.stale()? {
            self.folder.remove(&stale)?;
        }
        Ok(())
    }

    /// Writes a menu of a new number, so that GRUB can read it.
    fn write_menu(&self, newest: u32, bytes: &[u8]) -> Result<u32> {
        let number = self.menus()?.last().copied().unwrap_or(0).max(newest).saturating_add(1);
        files::create(self.folder, &self.path(&menu_name(number)), &mut &*bytes)?;
        self.folder.settle()?;
        Ok(number)
    }

    /// The numbers of the menus that are there, in order.
    fn menus(&self) -> Result<Vec<u32>> {
        let names = self.folder.list(&self.place)?;
        let mut menus: Vec<u32> = names.iter().filter_map(|(name, _)| menu_number(name)).collect();
        order::sort(&mut menus);
        Ok(menus)
    }

    /// Menus that are not in force.
    fn stale(&self) -> Result<Vec<BootPath>> {
        let (now, menus) = (self.in_force()?.switch.menu, self.menus()?);
        let stale = menus.into_iter().filter(|menu| *menu != now);
        Ok(stale.map(|menu| self.path(&menu_name(menu))).collect())
    }

    /// Sees to it that custom.cfg leads to the block of ours. What others wrote stays to the byte.
    fn write_custom(&self) -> Result<()> {
        self.write_lead()?;
        let (path, old) = (self.path("custom.cfg"), self.read("custom.cfg")?);
        let Some(line) = custom::missing(old.as_deref().unwrap_or_default()) else {
            return Ok(());
        };
        match old {
            Some(_) => self.folder.append(&path, &line)?,
            None => files::create(self.folder, &path, &mut line.as_slice())?,
        }
        self.folder.settle()
    }

    /// The file that the line in custom.cfg reads.
    fn write_lead(&self) -> Result<()> {
        let (path, lead) = (self.path(custom::LEAD), custom::lead());
        if self.read(custom::LEAD)?.as_deref() == Some(&lead) {
            return Ok(());
        }
        files::remove(self.folder, &path)?;
        files::create(self.folder, &path, &mut lead.as_slice())?;
        self.folder.settle()
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

    fn write_env(&self, new: &GrubEnv) -> Result<()> {
        env::write(self.folder, &self.env_path()?, &new.bytes())
    }

    /// Drops what GRUB's own tools let boot once.
    fn drop_next(&self) -> Result<()> {
        let mut env = match self.env() {
            // What GRUB cannot read says nothing to it.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            env => env?,
        };
        if env.get(NEXT).is_none_or(|next| next.is_empty()) {
            return Ok(());
        }
        env.set(NEXT, "")?;
        self.write_env(&env)
    }

    /// A block as far as it can be read, and what is wrong with it.
    fn seen(
        &self,
        file: &str,
        read: Result<GrubEnv>,
        problems: &mut Vec<Problem>,
    ) -> Result<GrubEnv> {
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                problems.push(Problem::Malformed { file: self.path(file), why: error.reason() });
                Ok(GrubEnv::default())
            }
            env => env,
        }
    }
}

fn menu_name(number: u32) -> String {
    format!("imgbase-{}.cfg", switch::name_of(number))
}

fn menu_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("imgbase-")?.strip_suffix(".cfg")?;
    digits.parse().ok().filter(|number| menu_name(*number) == name)
}

fn by_id(entries: &[Found], id: &str) -> Option<usize> {
    entries.iter().position(|found| found.id == id)
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

/// Takes an entry's file away that did not come into force.
fn take_back(shelf: &Shelf<'_>, id: &str) {
    if let Ok(file) = shelf.place.join(&format!("{id}.conf")) {
        let _ = files::remove(shelf.folder, &file);
    }
}
