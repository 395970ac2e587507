//! What GRUB does with a boot folder: the judge, which runs its configuration.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use imgbase::boot::sim::SimBoot;

use crate::script::{self, Machine, Token};
use crate::world::Booted;

/// A GRUB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grub {
    /// Its folder.
    pub(crate) folder: &'static str,
    /// What its grub.cfg is.
    pub(crate) cfg: &'static str,
    /// False where it cannot write grubenv.
    pub(crate) counts: bool,
}

/// As grub-mkconfig makes it on Debian 12, shortened.
const DEBIAN_CFG: &str = r#"
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi

if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
if [ "${prev_saved_entry}" ]; then
  set saved_entry="${prev_saved_entry}"
  save_env saved_entry
  set prev_saved_entry=
  save_env prev_saved_entry
  set boot_once=true
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function load_video {
  insmod all_video
}
set timeout=5
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root 12-34
	linux	/debian/6.1/linux root=/dev/sda2 ro  quiet
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"#;

/// Written by hand: it reads no grubenv.
const BARE_CFG: &str = r#"
set timeout=1
menuentry 'other' --id other {
  linux /debian/6.1/linux root=/dev/sda2
}
source $prefix/custom.cfg
"#;

/// As on Fedora, with its own counting.
const FEDORA_CFG: &str = r#"
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
insmod increment
# Check if boot_counter exists and boot_success=0 to activate this behaviour.
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  # if countdown has ended, choose to boot rollback deployment,
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  # otherwise decrement boot_counter
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
insmod blscfg
blscfg
if [ "${boot_success}" = "1" -o "${boot_indeterminate}" = "1" ]; then
  set menu_hide_ok=1
else
  set menu_hide_ok=0 
fi
if [ "${boot_success}" = "1" ] ; then
  set boot_indeterminate=0
elif [ "${boot_indeterminate}" = "1" ]; then
  set boot_indeterminate=2
fi
set boot_success=0
save_env boot_success boot_indeterminate
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
"#;

/// With entry files, and nothing that counts.
const BLS_CFG: &str = r#"
load_env
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
blscfg
source $prefix/custom.cfg
"#;

pub(crate) const DEBIAN: Grub = Grub { folder: "grub", cfg: DEBIAN_CFG, counts: true };
pub(crate) const BARE: Grub = Grub { folder: "grub", cfg: BARE_CFG, counts: true };
pub(crate) const FEDORA: Grub = Grub { folder: "grub2", cfg: FEDORA_CFG, counts: true };
pub(crate) const BLS: Grub = Grub { folder: "grub2", cfg: BLS_CFG, counts: true };

impl Grub {
    pub(crate) fn reads_entries(self) -> bool {
        self.cfg.contains("blscfg")
    }

    /// Starts the machine.
    pub(crate) fn boot(self, sim: &SimBoot) -> Option<Booted> {
        let prefix = format!("(hd0,1)/{}", self.folder);
        let pairs = [
            ("prefix", prefix.as_str()),
            ("config_directory", prefix.as_str()),
            ("root", "hd0,1"),
            ("feature_menuentry_id", "y"),
        ];
        let variables = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut run =
            Run { grub: self, sim: sim.clone(), variables, menu: Vec::new(), loaded: None };
        script::run(&mut run, &script::tokens(self.cfg));
        let default = run.variables.get("default").cloned().unwrap_or_default();
        let by_name =
            || run.menu.iter().position(|entry| entry.id == default || entry.title == default);
        let place = match default.parse::<usize>() {
            Ok(place) => Some(place),
            Err(_) if default.starts_with(|c: char| c.is_ascii_digit()) => None,
            Err(_) => by_name(),
        };
        let place = place.filter(|place| *place < run.menu.len()).unwrap_or(0);
        let entry = run.menu.get(place)?.body.clone();
        script::run(&mut run, &entry);
        run.loaded
    }
}

struct MenuEntry {
    id: String,
    title: String,
    body: Vec<Token>,
}

struct Run {
    grub: Grub,
    sim: SimBoot,
    variables: BTreeMap<String, String>,
    menu: Vec<MenuEntry>,
    loaded: Option<Booted>,
}

/// A path of GRUB's in the simulated folder.
fn inside(path: &str) -> &str {
    let path = path.rsplit_once(')').map_or(path, |(_, path)| path);
    path.trim_start_matches('/')
}

impl Run {
    /// The block that a command names, and the variables that it is about.
    fn block<'w>(&self, words: &'w [String]) -> (String, &'w [String]) {
        match words {
            [option, path, names @ ..] if option == "-f" => (inside(path).to_owned(), names),
            names => (format!("{}/grubenv", self.grub.folder), names),
        }
    }

    fn load_env(&mut self, words: &[String]) -> bool {
        let (path, only) = self.block(words);
        let Some(bytes) = self.sim.file(&path) else { return false };
        if !bytes.starts_with(b"# GRUB Environment Block\n") {
            return false;
        }
        for (name, value) in variables(&bytes) {
            if only.is_empty() || only.contains(&name) {
                self.variables.insert(name, value);
            }
        }
        true
    }

    /// Writes in place: the file keeps its size.
    fn save_env(&mut self, words: &[String]) -> bool {
        let (path, names) = self.block(words);
        let Some(mut bytes) = self.sim.file(&path).filter(|_| self.grub.counts) else {
            return false;
        };
        for name in names {
            let value = self.variables.get(name).map(String::as_str);
            if !set(&mut bytes, name, value) {
                return false;
            }
        }
        assert_eq!(bytes.len(), 1024);
        self.sim.put(&path, bytes);
        true
    }

    fn load_entries(&mut self) -> bool {
        let files = self.sim.files();
        let place = "loader/entries/";
        let ids = files.keys().filter_map(|path| path.strip_prefix(place)?.strip_suffix(".conf"));
        let mut ids: Vec<String> =
            ids.filter(|id| !id.starts_with('.')).map(str::to_owned).collect();
        ids.sort_by(|a, b| package_order(b, a));
        for id in ids {
            let text = &files[&format!("{place}{id}.conf")];
            let keys = entry_keys(&String::from_utf8_lossy(text));
            let first = |key: &str| keys.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
            let Some(linux) = first("linux") else { continue };
            let options = first("options").unwrap_or_default();
            let mut body = format!("linux ($root){linux} {options}\n");
            let initrds = keys.iter().filter(|(key, _)| key == "initrd");
            let initrds: Vec<_> = initrds.map(|(_, path)| format!("($root){path}")).collect();
            if !initrds.is_empty() {
                body.push_str(&format!("initrd {}\n", initrds.join(" ")));
            }
            let title = first("title").unwrap_or_else(|| id.clone());
            self.menu.push(MenuEntry { id, title, body: script::tokens(&body) });
        }
        true
    }

    fn step(&mut self, name: &str, by: i64) -> bool {
        let number: i64 = self.variables.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
        self.variables.insert(name.to_owned(), (number + by).to_string());
        true
    }
}

impl Machine for Run {
    fn variables(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.variables
    }

    fn command(&mut self, words: &[String]) -> bool {
        match words[0].as_str() {
            "load_env" => self.load_env(&words[1..]),
            "save_env" => self.save_env(&words[1..]),
            "blscfg" => self.load_entries(),
            "decrement" => self.step(&words[1], -1),
            "increment" => self.step(&words[1], 1),
            "source" => {
                let Some(text) = self.sim.file(inside(&words[1])) else { return false };
                let text = String::from_utf8(text).expect("a script is text");
                script::run(self, &script::tokens(&text))
            }
            "linux" => {
                self.loaded = None;
                let Some(linux) = self.sim.file(inside(&words[1])) else { return false };
                let args = script::command_line(&words[2..]);
                self.loaded = Some(Booted { args, linux, initrds: Vec::new() });
                true
            }
            "initrd" => {
                let all = words[1..].iter().map(|path| self.sim.file(inside(path)));
                let all = all.collect::<Option<Vec<_>>>();
                match (all, &mut self.loaded) {
                    (Some(initrds), Some(loaded)) => {
                        loaded.initrds = initrds;
                        true
                    }
                    _ => {
                        self.loaded = None;
                        false
                    }
                }
            }
            "search" | "insmod" | "export" | "load_video" | "echo" => true,
            // What a power cut has left: GRUB prints an error and goes on.
            _ => false,
        }
    }

    fn menu_entry(&mut self, words: &[String], body: &[Token]) {
        let id = words.iter().position(|word| word == "--id").map(|at| words[at + 1].clone());
        let title = words[1].clone();
        self.menu.push(MenuEntry { id: id.unwrap_or(title.clone()), title, body: body.to_vec() });
    }

    fn file(&mut self, path: &str) -> Option<bool> {
        self.sim.file(inside(path)).map(|bytes| !bytes.is_empty())
    }
}

fn entry_keys(text: &str) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with('#') {
            continue;
        }
        // It reads no further.
        let Some((key, value)) = line.split_once([' ', '\t']).filter(|(_, v)| !v.is_empty()) else {
            break;
        };
        keys.push((key.to_owned(), value.trim_start().to_owned()));
    }
    keys
}

/// As envblk.c reads them.
fn variables(bytes: &[u8]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut at = 25;
    while at < bytes.len() {
        let mut line = Vec::new();
        let comment = bytes[at] == b'#';
        while at < bytes.len() && bytes[at] != b'\n' {
            if bytes[at] == b'\\' {
                at += 1;
            }
            line.extend(bytes.get(at));
            at += 1;
        }
        at += 1;
        let line = String::from_utf8_lossy(&line).into_owned();
        if let (false, Some((name, value))) = (comment, line.split_once('=')) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}

/// As envblk.c sets one, or deletes it.
fn set(bytes: &mut Vec<u8>, name: &str, value: Option<&str>) -> bool {
    let end = bytes.iter().rposition(|byte| *byte != b'#').expect("there is a head") + 1;
    let text = String::from_utf8(bytes[..end].to_vec()).expect("a block here is text");
    let start = format!("{name}=");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = lines.iter().position(|line| line.starts_with(&start));
    match (place, value) {
        (Some(place), Some(value)) => lines[place] = format!("{start}{value}"),
        (Some(place), None) => drop(lines.remove(place)),
        (None, Some(value)) => lines.push(format!("{start}{value}")),
        (None, None) => {}
    }
    let mut new = (lines.join("\n") + "\n").into_bytes();
    if new.len() > bytes.len() {
        return false;
    }
    new.resize(bytes.len(), b'#');
    *bytes = new;
    true
}

/// `vercmp` on name, version and release.
fn package_order(a: &str, b: &str) -> Ordering {
    let split = |id: &str| {
        let mut parts: Vec<String> = id.rsplitn(3, '-').map(str::to_owned).collect();
        parts.resize(3, String::new());
        parts.reverse();
        parts
    };
    let (a, b) = (split(a), split(b));
    (0..3).fold(Ordering::Equal, |order, n| order.then_with(|| vercmp(&a[n], &b[n])))
}

fn vercmp(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        a = a.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        b = b.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let digits = a.starts_with(|c: char| c.is_ascii_digit());
        let run = |text: &str| {
            let is = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
            text.find(|c| !is(c)).unwrap_or(text.len())
        };
        let (i, k) = (run(a), run(b));
        if k == 0 {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let (x, y) = (&a[..i], &b[..k]);
        let order = if digits {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then(x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[i..], &b[k..]);
    }
}

#[test]
fn the_judge_knows_the_rules() {
    let mut block = b"# GRUB Environment Block\na=1\n".to_vec();
    block.resize(1024, b'#');
    assert!(set(&mut block, "b", Some("2")) && set(&mut block, "a", None));
    assert_eq!(variables(&block), [("b".to_owned(), "2".to_owned())]);
    assert!(!set(&mut block, "c", Some(&"x".repeat(1000))));
    let words = ["a=b c".to_owned(), "d='e".to_owned()];
    assert_eq!(script::command_line(&words), "\"a=b c\" d=\\'e");
    let sim = SimBoot::new(imgbase::boot::folder::Facts::default());
    sim.put("debian/6.1/linux", "linux");
    let booted = DEBIAN.boot(&sim).expect("it starts");
    assert_eq!(booted.args, "root=/dev/sda2 ro quiet");
}
