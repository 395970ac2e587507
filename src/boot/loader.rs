//! What differs from loader to loader, and which one there is.

use super::entry::Entry;
use super::folder::{BootFolder, BootPath, Kind};
use super::name::Pair;
use super::state::{BootState, Found, LoaderKind};
use super::vars::{self, EfiVars, Variable};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// How often a layer on trial is started before the one before it is: 1 to 9, as a counter must not
/// change its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries(u32);

impl Tries {
    /// So many.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for none, and for more than nine.
    pub fn new(tries: u32) -> Result<Self> {
        match tries {
            1..=9 => Ok(Self(tries)),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("{tries} is no number of tries: 1 to 9"),
            )),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Tries {
    /// Three.
    fn default() -> Self {
        Self(3)
    }
}

/// How a layer is put on trial.
pub struct OnTrial<'a> {
    /// What boots when its tries are used up.
    pub fallback: &'a Found,
    /// How many there are.
    pub tries: Tries,
}

/// A loader's files and settings.
///
/// Whatever fails before a method's commit point leaves what boots next as it was; what fails after
/// it leaves things that are in nobody's way.
pub trait Loader {
    /// Which one it is.
    fn kind(&self) -> LoaderKind;

    /// Reads everything.
    ///
    /// # Errors
    /// What the folder or the variables give. What is wrong with what was read is among the state's
    /// problems.
    fn observe(&self) -> Result<BootState>;

    /// What an entry calls a file of the boot folder.
    fn outside(&self, path: &BootPath) -> String;

    /// Files of the loader's that were made and are not in force, or no more.
    ///
    /// # Errors
    /// What the folder gives.
    fn stale(&self) -> Result<Vec<BootPath>> {
        Ok(Vec::new())
    }

    /// Adds an entry. What boots next stays what it was, but for the very first entry.
    ///
    /// # Errors
    /// [`Exists`](ErrorKind::Exists); what the folder gives.
    ///
    /// # Commit point
    /// The entry file's rename; for GRUB without entry files the write of the block that names its
    /// menu.
    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()>;

    /// Puts another text in an entry's place.
    ///
    /// # Errors
    /// What the folder or the variables give.
    ///
    /// # Commit point
    /// As for [`add`](Self::add); of the entry that is the default, as for
    /// [`choose`](Self::choose).
    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()>;

    /// Removes entries; whether they may go was asked before.
    ///
    /// # Errors
    /// What the folder gives.
    ///
    /// # Commit point
    /// The first file's removal; for GRUB without entry files the write of the block that names its
    /// menu.
    fn withdraw(&self, seen: &BootState, gone: &[&Found]) -> Result<()>;

    /// Makes an entry the default, for good or on trial. What was to boot once is dropped after it.
    ///
    /// # Errors
    /// What the folder or the variables give.
    ///
    /// # Commit point
    /// systemd-boot: the write over one sector of loader.conf; of a layer on trial whose fallback is
    /// the default by a pattern already, the rename that gives its file a name. GRUB with entry
    /// files: the write of grubenv; GRUB without: the write of the block that names its menu.
    fn choose(&self, seen: &BootState, to: &Found, trial: Option<&OnTrial<'_>>) -> Result<()>;

    /// Lets an entry boot once, or none.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the loader cannot be told; what the folder or
    /// the variables give.
    ///
    /// # Commit point
    /// The change of the variable or of grubenv.
    fn once(&self, seen: &BootState, to: Option<&Found>) -> Result<()>;

    /// Finds an entry good: it loses what it had beside until then, and if it was on trial it is the
    /// default.
    ///
    /// # Errors
    /// What the folder or the variables give.
    ///
    /// # Commit point
    /// As for [`choose`](Self::choose).
    fn bless(&self, seen: &BootState, found: &Found) -> Result<()>;
}

/// Where a loader may be.
#[derive(Clone, Copy)]
pub struct Place<'b> {
    /// The folder of kernels and entries ($BOOT).
    pub boot: &'b dyn BootFolder,
    /// The EFI system partition, where that is another folder.
    pub esp: Option<&'b dyn BootFolder>,
    /// The machine's EFI variables, where it has any.
    pub vars: Option<&'b dyn EfiVars>,
}

/// Where GRUB's own folder may be.
const GRUB: [&str; 2] = ["grub", "grub2"];

/// GRUB's folder: the one with a grub.cfg in it.
///
/// # Errors
/// What the folder gives.
pub(super) fn grub_folder(boot: &dyn BootFolder) -> Result<Option<BootPath>> {
    for name in GRUB {
        let folder: BootPath = name.parse()?;
        if is_file(boot, &folder.join("grub.cfg")?)? {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn is_file(folder: &dyn BootFolder, path: &BootPath) -> Result<bool> {
    Ok(matches!(folder.look(path)?, Some(Kind::File(_) | Kind::Link(_))))
}

/// Which loader there is, told by what is in the folders, and by what started the running system.
/// `None` where there is none.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where there are two and nothing tells which one is used;
/// what the folder or the variables give.
pub fn detect(place: Place<'_>) -> Result<Option<LoaderKind>> {
    let grub = match grub_folder(place.boot)? {
        None => None,
        Some(folder) => Some(grub_kind(place.boot, &folder)?),
    };
    let systemd = has_systemd_boot(place)?;
    match (grub, systemd) {
        (None, false) => Ok(None),
        (Some(grub), false) => Ok(Some(grub)),
        (None, true) => Ok(Some(LoaderKind::SystemdBoot)),
        (Some(grub), true) => match started_by(place)? {
            Some(true) => Ok(Some(LoaderKind::SystemdBoot)),
            Some(false) => Ok(Some(grub)),
            None => {
                let why = "both systemd-boot and GRUB are in it: say which one with --loader";
                let error = Error::new(ErrorKind::Unsupported, why).op("find the loader");
                Err(error.at(place.boot.name()))
            }
        },
    }
}

fn grub_kind(boot: &dyn BootFolder, folder: &BootPath) -> Result<LoaderKind> {
    let text = boot.read(&folder.join("grub.cfg")?, Bytes::mib(4))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim_start);
    let reads = lines.any(|line| line.split([' ', '\t', ';']).next() == Some("blscfg"));
    Ok(if reads { LoaderKind::GrubBls } else { LoaderKind::Grub })
}

fn has_systemd_boot(place: Place<'_>) -> Result<bool> {
    for folder in [Some(place.boot), place.esp].into_iter().flatten() {
        if is_file(folder, &"loader/loader.conf".parse()?)? {
            return Ok(true);
        }
        let programs = folder.list(&"EFI/systemd".parse()?)?;
        if programs.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("systemd-boot")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True where systemd-boot started the running system, false where another loader says it did.
fn started_by(place: Place<'_>) -> Result<Option<bool>> {
    let Some(vars) = place.vars else { return Ok(None) };
    let info = vars.get(Variable::Info)?.map(|bytes| vars::text(&bytes));
    Ok(info.map(|info| info.starts_with("systemd-boot")))
}
