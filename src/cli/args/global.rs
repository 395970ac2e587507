//! Options that stand before or after the command.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use imgbase::name::VgName;

/// What boots this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Loader {
    SystemdBoot,
    GrubBls,
    Grub,
    None,
}

/// Who reads and writes the texts of volume groups.
#[cfg(feature = "liblvm")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetadataBy {
    /// This program itself
    Native,
    /// lvm2's own library, in the program imgbase-liblvm
    Liblvm,
}

/// The options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Work in this volume group (default: the one that is ours; HostVG for a new one)
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) vg: Option<VgName>,

    /// Print one JSON object; progress, warnings and errors become JSON lines on standard error
    #[arg(long, global = true, overrides_with = "json")]
    pub(crate) json: bool,

    /// Print what would be done, the commit point and the bytes needed; change nothing
    #[arg(long, global = true, overrides_with = "dry_run")]
    pub(crate) dry_run: bool,

    /// Errors only: no progress, no warnings
    #[arg(short, long, global = true, overrides_with = "quiet")]
    pub(crate) quiet: bool,

    /// Say more
    #[arg(short, long, global = true, overrides_with = "verbose")]
    pub(crate) verbose: bool,

    /// Log every metadata commit, ioctl and message with its arguments to standard error
    #[arg(long, global = true, overrides_with = "debug")]
    pub(crate) debug: bool,

    /// Read this file's section [boot] in place of that in /etc/imgbase.conf: what boots this host,
    /// where no option here says otherwise
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The folder that the boot loader reads (default: as configured, else found by itself)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) boot_dir: Option<PathBuf>,

    /// The boot loader (default: as configured, else found by itself)
    #[arg(long, global = true, value_name = "LOADER", value_enum)]
    pub(crate) loader: Option<Loader>,

    /// How long to wait for a lock of lvm2's
    #[arg(long, global = true, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) lock_timeout: Duration,

    /// Who reads and writes the volume group's text; volumes and devices are this program's in
    /// any case, and so are dry runs
    #[cfg(feature = "liblvm")]
    #[arg(long, global = true, value_name = "WAY", value_enum, default_value = "native")]
    pub(crate) metadata: MetadataBy,

    /// Answer yes to whatever would be asked
    #[arg(short, long, global = true, overrides_with = "yes")]
    pub(crate) yes: bool,
}

/// Those that a value follows.
pub(crate) const WITH_VALUE: &[&str] = &[
    "--vg",
    "--config",
    "--boot-dir",
    "--loader",
    "--lock-timeout",
    #[cfg(feature = "liblvm")]
    "--metadata",
];

const FLAGS: [&str; 6] = ["--json", "--dry-run", "--quiet", "--verbose", "--debug", "--yes"];
const SHORT: &str = "qvy";

/// How many words the option takes that this word is, its value included; `None` where it is none
/// of these.
pub(super) fn words_of(word: &OsStr) -> Option<usize> {
    let word = word.to_str()?;
    let short = word.strip_prefix('-')?;
    let name = word.split('=').next()?;
    let is_short = !short.is_empty() && short.chars().all(|letter| SHORT.contains(letter));
    if is_short || FLAGS.contains(&name) {
        return Some(1);
    }
    WITH_VALUE.contains(&name).then_some(if name == word { 2 } else { 1 })
}

impl Default for GlobalArgs {
    fn default() -> Self {
        Self {
            vg: None,
            json: false,
            dry_run: false,
            quiet: false,
            verbose: false,
            debug: false,
            config: None,
            boot_dir: None,
            loader: None,
            lock_timeout: Duration::from_secs(20),
            #[cfg(feature = "liblvm")]
            metadata: MetadataBy::Native,
            yes: false,
        }
    }
}

/// Longest wait for a lock: a day.
const LOCK_TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

fn seconds(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no time: give seconds from 0 to 86400, as 20 or 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || (whole.is_empty() && part.is_empty()) {
        return Err(bad());
    }
    // With a zero before it an empty text is one, too; further digits are less than nanoseconds.
    let nanos = format!("{part:0<9}").get(..9).and_then(|digits| digits.parse().ok());
    let seconds = format!("0{whole}").parse().ok();
    let time = seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos));
    time.filter(|time| *time <= LOCK_TIMEOUT_MAX).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{ArgAction, FromArgMatches};

    fn parser() -> clap::Command {
        GlobalArgs::augment_args(clap::Command::new("imgbase"))
    }

    #[test]
    fn every_option_is_known_by_its_word() {
        for option in parser().get_arguments() {
            let words = if matches!(option.get_action(), ArgAction::SetTrue) { 1 } else { 2 };
            let long = format!("--{}", option.get_long().expect("a long name"));
            assert_eq!(words_of(long.as_ref()), Some(words), "{long}");
            assert_eq!(words_of(format!("{long}=x").as_ref()), Some(1), "{long}");
            assert_eq!(words_of(format!("{long}x").as_ref()), None, "{long}");
            if let Some(short) = option.get_short() {
                assert_eq!(words_of(format!("-{short}q").as_ref()), Some(1), "{short}");
            }
        }
        for other in ["", "-", "--", "-h", "-qh", "--help", "json", "a-1-0", "--add"] {
            assert_eq!(words_of(other.as_ref()), None, "{other}");
        }
    }

    #[test]
    fn without_options_it_is_what_clap_makes_of_none() {
        let mut matches = parser().try_get_matches_from(["imgbase"]).expect("nothing is needed");
        let none = GlobalArgs::from_arg_matches_mut(&mut matches).expect("nothing is needed");
        assert_eq!(format!("{none:?}"), format!("{:?}", GlobalArgs::default()));
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("20"), Ok(Duration::from_secs(20)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds(".25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("86400.0000000001"), Ok(LOCK_TIMEOUT_MAX));
        for bad in ["", ".", "-1", "1e3", "inf", "NaN", "86401", "86400.1", "5s", "+3", "1.2.3"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
