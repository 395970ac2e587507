//! What systemd-boot is told: loader.conf and the variables before it.

use super::super::files;
use super::super::folder::{BootFolder, BootPath};
use super::super::state::{BootState, Found, Problem};
use super::super::vars::{self, EfiVars, Variable};
use super::conf::{self, Conf};
use super::pick;
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// Longest loader.conf that is read.
const LONGEST: Bytes = Bytes::mib(1);

/// From this version on an entry may be preferred to the default unless it has no tries left.
const PREFERS: u32 = 260;

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// loader.conf, and whether there is one.
    conf: Conf,
    exists: bool,
    pub(super) once: Option<String>,
    preferred: Option<String>,
    default: Option<String>,
    /// The file whose counter was moved for the system that runs.
    pub(super) counted: Option<String>,
    version: Option<u32>,
}

/// Where they are.
#[derive(Clone, Copy)]
pub(super) struct Place<'b> {
    pub(super) folder: &'b dyn BootFolder,
    pub(super) vars: Option<&'b dyn EfiVars>,
}

fn path() -> BootPath {
    "loader/loader.conf".parse().expect("it is a path")
}

impl Place<'_> {
    /// Reads all of it.
    ///
    /// # Errors
    /// What the folder or the variables give.
    pub(super) fn read(&self) -> Result<Settings> {
        let bytes = self.folder.read(&path(), LONGEST)?;
        let text = |variable| -> Result<Option<String>> {
            let Some(vars) = self.vars else { return Ok(None) };
            let text = vars.get(variable)?.map(|bytes| vars::text(&bytes));
            Ok(text.filter(|text| !text.is_empty()))
        };
        let counted = text(Variable::CountPath)?;
        Ok(Settings {
            exists: bytes.is_some(),
            conf: Conf::parse(&bytes.unwrap_or_default()),
            once: text(Variable::OneShot)?,
            preferred: text(Variable::Preferred)?,
            default: text(Variable::Default)?,
            counted: counted.and_then(|path| path.rsplit('\\').next().map(str::to_owned)),
            version: text(Variable::Info)?.as_deref().and_then(version),
        })
    }

    /// Makes `value` the default. Variables that come before loader.conf are taken away.
    ///
    /// Where it is the first time, lines of ours that say what is in force are added to loader.conf
    /// before.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where loader.conf itself prefers an entry. Otherwise
    /// what the folder or the variables give; the default is then the old or the new one.
    ///
    /// # Commit point
    /// The write over the lines of ours in loader.conf; where a variable comes before it, its change.
    pub(super) fn set_default(&self, seen: &BootState, value: &str) -> Result<()> {
        let settings = self.read()?;
        if let Some(preferred) = settings.conf.preferred() {
            let why =
                format!("it prefers '{preferred}': remove that line, which hides any default");
            let error = Error::new(ErrorKind::Unsupported, why).op("set the default");
            return Err(error.at(files::shown(self.folder, &path())).kept("nothing was changed"));
        }
        self.prepare(&settings, seen, value)?;
        if settings.default.is_some() {
            self.set(Variable::Default, value)?;
        }
        self.write_in_place(value)?;
        // What comes before is taken away last: it says the same by now, or hides it until here.
        for (variable, is_set) in [
            (Variable::Preferred, settings.preferred.is_some()),
            (Variable::Default, settings.default.is_some()),
        ] {
            if let (true, Some(vars)) = (is_set, self.vars) {
                vars.remove(variable)?;
            }
        }
        Ok(())
    }

    /// Sees to it that what boots now is written down, so that a new entry does not change it.
    ///
    /// # Errors
    /// What the folder or the variables give.
    pub(super) fn hold_default(&self, seen: &BootState) -> Result<()> {
        let settings = self.read()?;
        let first = seen.entries.iter().find(|found| found.listed);
        let (None, Some(first)) = (settings.in_force(&seen.entries), first) else { return Ok(()) };
        let value = lasting(first, seen);
        self.prepare(&settings, seen, &value)?;
        self.write_in_place(&value)
    }

    /// Sees to it that loader.conf has lines of ours, saying what is in force; `otherwise` where
    /// nothing is.
    fn prepare(&self, settings: &Settings, seen: &BootState, otherwise: &str) -> Result<()> {
        if settings.conf.place().is_some() {
            return Ok(());
        }
        let means = |value: &String| pick::find(&seen.entries, value).is_some();
        let in_force = settings.conf.default().filter(means);
        let more = settings.conf.more(in_force.as_deref().unwrap_or(otherwise))?;
        if settings.exists {
            return self.folder.append(&path(), &more);
        }
        files::make_folder(self.folder, &path().parent())?;
        files::create(self.folder, &path(), &mut more.as_slice())
    }

    fn set(&self, variable: Variable, value: &str) -> Result<()> {
        match self.vars {
            Some(vars) => vars.set(variable, &vars::bytes(value)),
            None => {
                let why = "this machine has no EFI variables to tell the loader by";
                Err(Error::new(ErrorKind::Unsupported, why).at(variable.name()))
            }
        }
    }

    fn write_in_place(&self, value: &str) -> Result<()> {
        let bytes = self.folder.read(&path(), LONGEST)?.unwrap_or_default();
        let conf = Conf::parse(&bytes);
        let Some(place) = conf.place() else {
            let error = Error::new(ErrorKind::Busy, "it was changed meanwhile");
            return Err(error.op("set the default").at(files::shown(self.folder, &path())));
        };
        if conf.default().as_deref() == Some(value) {
            return Ok(());
        }
        let at = Bytes::new(u64::try_from(place).unwrap_or(u64::MAX));
        self.folder.overwrite(&path(), at, &conf::lines(value)?)
    }

    /// Sets or removes what is to boot once.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) without variables; what they give.
    ///
    /// # Commit point
    /// The change of the variable.
    pub(super) fn set_once(&self, value: Option<&str>) -> Result<()> {
        match (value, self.vars) {
            (Some(value), _) => self.set(Variable::OneShot, value),
            (None, Some(vars)) => vars.remove(Variable::OneShot),
            (None, None) => Ok(()),
        }
    }
}

impl Settings {
    /// What is set, in the order in which it counts, and what to call it.
    fn rules(&self) -> Vec<(String, &'static str, bool)> {
        let preferring = self.version.is_some_and(|version| version >= PREFERS);
        let rules = [
            (self.preferred.clone().filter(|_| preferring), "LoaderEntryPreferred", true),
            (self.conf.preferred().filter(|_| preferring), "loader.conf's preferred", true),
            (self.default.clone(), "LoaderEntryDefault", false),
            (self.conf.default(), "loader.conf's default", false),
        ];
        rules.into_iter().filter_map(|(value, name, good)| Some((value?, name, good))).collect()
    }

    /// The rule that decides, and the place of the entry that it means.
    pub(super) fn in_force(&self, entries: &[Found]) -> Option<(String, usize)> {
        let has_tries = |place: usize| {
            let counter = entries.get(place).and_then(|found| found.counter);
            counter.is_none_or(|counter| counter.left > 0)
        };
        self.rules().into_iter().find_map(|(value, _, good)| {
            let place = pick::find(entries, &value)?;
            (!good || has_tries(place)).then_some((value, place))
        })
    }

    /// What is set and means nothing, or hides what is set otherwise.
    pub(super) fn problems(&self, entries: &[Found]) -> Vec<Problem> {
        let rules = self.rules();
        let mut problems = Vec::new();
        for (value, name, _) in &rules {
            if pick::find(entries, value).is_none() {
                problems.push(Problem::NoSuchDefault { name: format!("{value}, {name}") });
            }
        }
        for (first, second) in rules.iter().zip(rules.iter().skip(1)) {
            if first.0 != second.0 {
                let say = |(value, name, _): &(String, &str, bool)| format!("{name} '{value}'");
                problems.push(Problem::Contradiction { first: say(first), second: say(second) });
            }
        }
        problems
    }
}

/// `252` of `systemd-boot 252.39-1~deb12u1`.
fn version(info: &str) -> Option<u32> {
    let rest = info.strip_prefix("systemd-boot ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// A pattern for what boots now by its order alone. Where the entry's name ends in its version, later
/// versions are meant too.
fn lasting(found: &Found, seen: &BootState) -> String {
    if let Some(own) = &found.own {
        return own.name.systemd_id();
    }
    let id = found.id.to_ascii_lowercase();
    let version = found.entry.version().unwrap_or_default().to_ascii_lowercase();
    let token = id.strip_suffix(".conf").and_then(|stem| stem.strip_suffix(version.as_str()));
    let plain = |token: &&str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.".contains(&byte);
        !version.is_empty() && !token.is_empty() && token.bytes().all(good)
    };
    let pattern = token.filter(plain).map(|token| format!("{token}*"));
    let same = |pattern: &String| {
        let meant = pick::find(&seen.entries, pattern).and_then(|place| seen.entry(place));
        meant.is_some_and(|meant| meant.path == found.path)
    };
    let stem = found.id.trim_end_matches(".conf");
    let exact = if found.counter.is_some() { format!("{stem}*") } else { found.id.clone() };
    pattern.filter(same).unwrap_or(exact)
}
