//! What the kernel's command line asks of the first process.

use std::time::Duration;

use super::cmdline::Words;
use crate::name::{DmName, LvName, VgName};

/// How long the disks are waited for.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait that can be asked for: a day.
const TIMEOUT_MAX: u64 = 86_400;
/// How long a message stands before a reboot.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest such time that `panic=` can ask for.
const PAUSE_MAX: u64 = 300;

/// The volume to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its group; `None`: the one with our tag.
    pub vg: Option<VgName>,
    /// The volume: a layer, or any other that can be activated.
    pub lv: LvName,
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.vg {
            Some(vg) => write!(f, "{vg}/{}", self.lv),
            None => write!(f, "{}", self.lv),
        }
    }
}

/// What follows where it cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Somebody is asked what to start, where there is a console.
    Prompt,
    /// The machine starts again, so that the boot loader can try another entry.
    Reboot,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be started; `None` where the command line names nothing.
    pub root: Option<Root>,
    /// True where the root is to be mounted read-only at first: the kernel's own default.
    pub read_only: bool,
    /// Its file system, where that is said: `rootfstype=`.
    pub fs_type: Option<String>,
    /// Options of its mount: `rootflags=`.
    pub options: String,
    /// The program to start in it, where one is named.
    pub init: Option<String>,
    /// How long its disks are waited for.
    pub timeout: Duration,
    /// What follows a failure.
    pub on_failure: OnFailure,
    /// How long the message of a failure stands before a reboot.
    pub pause: Duration,
    /// True where each step is to be told.
    pub debug: bool,
    /// Words that make no sense, and what was done instead.
    pub odd: Vec<String>,
}

impl Request {
    /// Reads it. `program` is how the kernel started this program: an `init=` with that path does
    /// not name what is to be started in the root.
    pub fn read(words: &Words, program: &str) -> Self {
        let mut odd = Vec::new();
        let root = root(words, &mut odd);
        Self {
            root,
            read_only: words.last_is("ro", "rw").unwrap_or(true),
            fs_type: words.value("rootfstype").filter(|it| !it.is_empty()).map(str::to_owned),
            options: words.value("rootflags").unwrap_or_default().to_owned(),
            init: init(words, program).map(str::to_owned),
            timeout: timeout(words, &mut odd),
            on_failure: on_failure(words, &mut odd),
            pause: pause(words),
            debug: words.last_is("imgbase.debug", "imgbase.nodebug").unwrap_or(false),
            odd,
        }
    }
}

/// `imgbase.root=VG/LV`, else `img.bootid=LV`, else `root=`.
fn root(words: &Words, odd: &mut Vec<String>) -> Option<Root> {
    if let Some(text) = words.value("imgbase.root") {
        let root = volume(text);
        if root.is_none() {
            odd.push(format!("imgbase.root={text}: that is no VG/LV"));
        }
        return root;
    }
    let named = words.value("root").and_then(device);
    let Some(text) = words.value("img.bootid") else { return named };
    let Ok(lv) = text.parse::<LvName>() else {
        odd.push(format!("img.bootid={text}: that is no layer's name"));
        return None;
    };
    // The other words of the same entry may say in which group it is.
    let others = words.values("rd.lvm.lv").filter_map(volume).chain(named);
    let vg = others.filter(|other| other.lv == lv).find_map(|other| other.vg);
    Some(Root { vg, lv })
}

/// `VG/LV`.
fn volume(text: &str) -> Option<Root> {
    let (vg, lv) = text.split_once('/')?;
    Some(Root { vg: Some(vg.parse().ok()?), lv: lv.parse().ok()? })
}

/// `/dev/VG/LV` or `/dev/mapper/NAME`.
fn device(path: &str) -> Option<Root> {
    let rest = path.strip_prefix("/dev/")?;
    match rest.strip_prefix("mapper/") {
        Some(name) => {
            let (vg, lv) = name.parse::<DmName>().ok()?.volume()?;
            Some(Root { vg: Some(vg), lv })
        }
        None => volume(rest),
    }
}

/// `imgbase.init=` names the root's own program in any case; `init=` does unless it names us.
fn init<'w>(words: &'w Words, program: &str) -> Option<&'w str> {
    let own = words.value("init").filter(|path| *path != program);
    words.value("imgbase.init").or(own).filter(|path| !path.is_empty())
}

fn timeout(words: &Words, odd: &mut Vec<String>) -> Duration {
    let Some(text) = words.value("imgbase.timeout") else { return TIMEOUT };
    match text.parse() {
        Ok(seconds @ 0..=TIMEOUT_MAX) => Duration::from_secs(seconds),
        _ => {
            odd.push(format!("imgbase.timeout={text}: {} s are waited", TIMEOUT.as_secs()));
            TIMEOUT
        }
    }
}

/// Our own word, else those of the kernel and of others that ask for a reboot.
fn on_failure(words: &Words, odd: &mut Vec<String>) -> OnFailure {
    match words.value("imgbase.onfail") {
        Some("reboot") => return OnFailure::Reboot,
        Some("prompt") => return OnFailure::Prompt,
        Some(text) => odd.push(format!("imgbase.onfail={text}: it is neither reboot nor prompt")),
        None => {}
    }
    let panics = panic(words).is_some_and(|seconds| seconds != 0);
    let asked = words.value("rd.emergency") == Some("reboot");
    if panics || asked { OnFailure::Reboot } else { OnFailure::Prompt }
}

/// `panic=`: seconds until a reboot; 0 is never, less is at once.
fn panic(words: &Words) -> Option<i64> {
    words.value("panic")?.parse().ok()
}

fn pause(words: &Words) -> Duration {
    let asked = panic(words).and_then(|seconds| u64::try_from(seconds).ok());
    let asked = asked.filter(|seconds| *seconds > 0);
    asked.map_or(PAUSE, |seconds| Duration::from_secs(seconds.min(PAUSE_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Request {
        Request::read(&Words::parse(line), "/imgbase")
    }

    fn root_of(line: &str) -> Option<String> {
        read(line).root.map(|root| root.to_string())
    }

    #[test]
    fn nothing_said_is_the_kernels_own_way() {
        let asked = read("quiet");
        assert_eq!((asked.root, asked.read_only, asked.fs_type), (None, true, None));
        assert_eq!((asked.options.as_str(), asked.init), ("", None));
        assert_eq!((asked.timeout, asked.pause), (Duration::from_secs(30), PAUSE));
        assert_eq!((asked.on_failure, asked.debug), (OnFailure::Prompt, false));
        assert!(asked.odd.is_empty());
    }

    #[test]
    fn the_root_is_named_in_several_ways() {
        for (line, wanted) in [
            ("img.bootid=Base-1-0+1", "Base-1-0+1"),
            ("img.bootid=Base-1-0+1 root=/dev/vg/Base-1-0+1", "vg/Base-1-0+1"),
            ("img.bootid=Base-1-0+1 root=/dev/mapper/a--b-Base--1--0+1", "a-b/Base-1-0+1"),
            ("img.bootid=Base-1-0+1 rd.lvm.lv=a/swap rd.lvm.lv=b/Base-1-0+1", "b/Base-1-0+1"),
            // Another volume's group tells nothing.
            ("img.bootid=Base-1-0+1 root=/dev/vg/Base-1-0+2", "Base-1-0+1"),
            ("imgbase.root=vg/root img.bootid=Base-1-0+1", "vg/root"),
            ("root=/dev/vg/root", "vg/root"),
            ("root=/dev/mapper/vg-ro--ot", "vg/ro-ot"),
        ] {
            assert_eq!(root_of(line).as_deref(), Some(wanted), "{line}");
        }
        for line in ["root=/dev/sda1", "root=UUID=1-2", "root=/dev/mapper/control", "root=", ""] {
            assert_eq!(root_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_bad_name_is_told_and_nothing_else_is_taken_for_it() {
        for line in ["imgbase.root=vg root=/dev/vg/a", "img.bootid=a/b root=/dev/vg/a"] {
            let asked = read(line);
            assert_eq!((asked.root, asked.odd.len()), (None, 1), "{line}");
        }
    }

    #[test]
    fn the_mount_is_as_the_kernel_words_it() {
        let asked = read("ro rw rootfstype=xfs rootflags=noatime,logbufs=8 init=/bin/sh");
        assert!(!asked.read_only);
        assert_eq!(asked.fs_type.as_deref(), Some("xfs"));
        assert_eq!(asked.options, "noatime,logbufs=8");
        assert_eq!(asked.init.as_deref(), Some("/bin/sh"));
        assert!(read("rw ro").read_only);
    }

    #[test]
    fn an_init_that_is_this_program_is_not_the_roots() {
        assert_eq!(read("init=/imgbase").init, None);
        assert_eq!(read("init=/imgbase imgbase.init=/sbin/x").init.as_deref(), Some("/sbin/x"));
        assert_eq!(read("init=/sbin/y imgbase.init=/sbin/x").init.as_deref(), Some("/sbin/x"));
    }

    #[test]
    fn what_follows_a_failure_can_be_chosen() {
        for (line, wanted) in [
            ("panic=10", OnFailure::Reboot),
            ("panic=-1", OnFailure::Reboot),
            ("panic=0", OnFailure::Prompt),
            ("rd.emergency=reboot", OnFailure::Reboot),
            ("rd.emergency=halt", OnFailure::Prompt),
            ("imgbase.onfail=reboot", OnFailure::Reboot),
            ("imgbase.onfail=prompt panic=10", OnFailure::Prompt),
        ] {
            assert_eq!(read(line).on_failure, wanted, "{line}");
        }
        assert_eq!(read("panic=10").pause, Duration::from_secs(10));
        assert_eq!(read("panic=-1").pause, PAUSE);
        assert_eq!(read("imgbase.onfail=x").odd.len(), 1);
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(read("imgbase.timeout=7").timeout, Duration::from_secs(7));
        assert_eq!(read("imgbase.timeout=0").timeout, Duration::ZERO);
        for line in ["imgbase.timeout=x", "imgbase.timeout=-1", "imgbase.timeout=86401"] {
            let asked = read(line);
            assert_eq!((asked.timeout, asked.odd.len()), (TIMEOUT, 1), "{line}");
        }
    }
}
