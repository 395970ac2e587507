//! The file that GRUB is given: menu entries, the default, and how tries are counted down.
//!
//! It is made anew with each change, and its rename is what changes what boots. What it was made of
//! stands in its comments, so that it can be read again. GRUB cannot count: each number of tries is
//! a case of its own. A trial has a number; as long as grubenv does not name it, no try of it was
//! made.

use super::super::lines::Lines;
use super::super::loader::Tries;
use super::script::{Script, arguments, quoted};
use crate::boot::entry::Entry;

/// The counter's name in grubenv, as Fedora's GRUB has it.
pub(super) const COUNTER: &str = "boot_counter";
/// `1` where the last start came up.
pub(super) const SUCCESS: &str = "boot_success";
/// The number of the trial that the counter is of.
pub(super) const TRIAL: &str = "imgbase_trial";
/// What boots once.
pub(super) const NEXT: &str = "next_entry";

const NOTE_DEFAULT: &str = "imgbase-default";
const NOTE_TRIAL: &str = "imgbase-trial";
const NOTE_ENTRY: &str = "imgbase-entry";

/// A layer on trial, by its entry's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MenuTrial {
    /// Its number: no two are the same.
    pub(super) number: u32,
    /// How often it is started at most.
    pub(super) tries: Tries,
    pub(super) id: String,
    pub(super) fallback: String,
}

/// What a menu was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Menu {
    pub(super) default: Option<String>,
    pub(super) trials: Vec<MenuTrial>,
    /// The entries' ids.
    pub(super) entries: Vec<String>,
}

impl Menu {
    /// Reads it out of the comments.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let lines = Lines::parse(bytes);
        let trial = |line: &str| {
            let mut words = line.split(' ');
            let (number, tries) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let (id, fallback) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(MenuTrial { number, tries: Tries::new(tries).ok()?, id, fallback })
        };
        Self {
            default: lines.note(NOTE_DEFAULT).map(str::to_owned),
            trials: lines.notes(NOTE_TRIAL).filter_map(trial).collect(),
            entries: lines.notes(NOTE_ENTRY).map(str::to_owned).collect(),
        }
    }

    pub(super) fn trial_of(&self, id: &str) -> Option<&MenuTrial> {
        self.trials.iter().find(|trial| trial.id == id)
    }
}

/// An entry as the menu shows it.
pub(super) struct Item<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) entry: &'a Entry,
}

/// How GRUB finds the file system with the kernels.
pub(super) enum Search<'a> {
    Uuid(&'a str),
    /// By the kernel itself.
    File,
}

const HEAD: &str = "# Made by imgbase, anew with each change: what is edited here is lost.";

/// Without a block nothing is read, and nothing is counted.
const HAS_ENV: &str = "-s \"${prefix}/grubenv\"";

/// The menu of a GRUB that reads no entry files: it holds the entries and the default itself. Tries
/// are counted when the entry is started.
pub(super) fn whole(menu: &Menu, items: &[Item<'_>], search: &Search<'_>) -> Vec<u8> {
    let mut script = head(menu, items.iter().map(|item| item.id));
    for item in items {
        let (title, id) = (quoted(item.title), quoted(item.id));
        let words = "--class gnu-linux --class os --unrestricted";
        script.line(&format!("menuentry {title} {words} --id {id} {{"));
        script.deeper(|script| {
            if let Some(trial) = menu.trial_of(item.id) {
                script.when(HAS_ENV, |script| {
                    load(script);
                    count(script, trial);
                });
            }
            start(script, item.entry, search);
        });
        script.line("}");
    }
    once(&mut script);
    if let Some(default) = &menu.default {
        script.when("\"${boot_once}\" != \"true\"", |script| {
            choose(script, default, menu.trial_of(default));
        });
    }
    script.bytes()
}

fn choose(script: &mut Script, default: &str, trial: Option<&MenuTrial>) {
    script.line(&format!("set default={}", quoted(default)));
    let Some(trial) = trial else { return };
    script.when(HAS_ENV, load);
    script.when(&used_up(trial, "0"), |script| {
        script.line(&format!("set default={}", quoted(&trial.fallback)));
    });
}

/// What a GRUB that reads entry files itself is given beside: the trials of what `saved_entry`
/// names. Where grub.cfg counts itself, as Fedora's does, its count is used: it stands at -1 when
/// all tries are used up.
pub(super) fn beside(menu: &Menu, grub_counts: bool) -> Vec<u8> {
    let mut script = head(menu, []);
    once(&mut script);
    for trial in &menu.trials {
        let id = quoted(&trial.id);
        let condition = format!("\"${{boot_once}}\" != \"true\" -a \"${{saved_entry}}\" = {id}");
        script.when(&condition, |script| {
            script.line(&format!("set default={id}"));
            let back = format!("set default={}", quoted(&trial.fallback));
            if grub_counts {
                return script.when(&used_up(trial, "-1"), |script| script.line(&back));
            }
            script.when(HAS_ENV, |script| {
                load(script);
                script.line(&format!("if [ {} ]; then", used_up(trial, "0")));
                script.deeper(|script| script.line(&back));
                script.line("else");
                script.deeper(|script| count(script, trial));
                script.line("fi");
            });
        });
    }
    script.bytes()
}

fn used_up(trial: &MenuTrial, none_left: &str) -> String {
    let number = trial.number;
    format!("\"${{{TRIAL}}}\" = \"{number}\" -a \"${{{COUNTER}}}\" = \"{none_left}\"")
}

fn head<'a>(menu: &Menu, entries: impl IntoIterator<Item = &'a str>) -> Script {
    let mut script = Script::default();
    script.line(HEAD);
    if let Some(default) = &menu.default {
        script.line(&format!("# {NOTE_DEFAULT} {default}"));
    }
    for trial in &menu.trials {
        let MenuTrial { number, tries, id, fallback } = trial;
        script.line(&format!("# {NOTE_TRIAL} {number} {} {id} {fallback}", tries.get()));
    }
    for id in entries {
        script.line(&format!("# {NOTE_ENTRY} {id}"));
    }
    script
}

fn load(script: &mut Script) {
    script.line(&format!("load_env {TRIAL} {COUNTER} {SUCCESS}"));
}

/// Takes one try away, and writes it down before anything is started.
fn count(script: &mut Script, trial: &MenuTrial) {
    let (tries, number) = (trial.tries.get(), trial.number);
    script.line(&format!("if [ \"${{{TRIAL}}}\" != \"{number}\" ]; then"));
    script.line(&format!("  set {TRIAL}={number}"));
    script.line(&format!("  set {COUNTER}={}", tries.saturating_sub(1)));
    // The start before came up: this one takes no try.
    script.line(&format!("elif [ \"${{{SUCCESS}}}\" = \"1\" ]; then"));
    script.line("  true");
    for left in (1..=tries).rev() {
        script.line(&format!("elif [ \"${{{COUNTER}}}\" = \"{left}\" ]; then"));
        script.line(&format!("  set {COUNTER}={}", left.saturating_sub(1)));
    }
    script.line("else");
    script.line(&format!("  set {COUNTER}=0"));
    script.line("fi");
    script.line(&format!("set {SUCCESS}=0"));
    script.line(&format!("save_env {TRIAL} {COUNTER} {SUCCESS}"));
}

/// What boots once, where grub.cfg has not dealt with it: forgotten before it is started.
fn once(script: &mut Script) {
    script.when(&format!("-z \"${{boot_once}}\" -a {HAS_ENV}"), |script| {
        script.line(&format!("load_env {NEXT}"));
        script.when(&format!("-n \"${{{NEXT}}}\""), |script| {
            script.line(&format!("set default=\"${{{NEXT}}}\""));
            script.line(&format!("set {NEXT}="));
            script.line(&format!("save_env {NEXT}"));
            script.line("set boot_once=true");
        });
    });
}

fn start(script: &mut Script, entry: &Entry, search: &Search<'_>) {
    let linux = entry.linux().unwrap_or_default();
    let by = match search {
        Search::Uuid(uuid) => format!("--fs-uuid {}", quoted(uuid)),
        Search::File => format!("--file {}", quoted(linux)),
    };
    script.line(&format!("search --no-floppy --set=root {by}"));
    script.line(&format!("linux {} {}", quoted(linux), arguments(&entry.args())));
    let initrds: Vec<String> = entry.initrds().map(quoted).collect();
    if !initrds.is_empty() {
        script.line(&format!("initrd {}", initrds.join(" ")));
    }
    if let Some(tree) = entry.devicetree() {
        script.line(&format!("devicetree {}", quoted(tree)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> Menu {
        let trial = MenuTrial {
            number: 7,
            tries: Tries::default(),
            id: "imgbase__b__k__".into(),
            fallback: "imgbase__a__k__".into(),
        };
        Menu {
            default: Some("imgbase__b__k__".into()),
            trials: vec![trial],
            entries: vec!["imgbase__a__k__".into(), "imgbase__b__k__".into()],
        }
    }

    #[test]
    fn a_menu_says_what_it_was_made_of() {
        let entry = Entry::parse(b"linux /x\ninitrd /y\noptions a b\n");
        let menu = menu();
        let items: Vec<Item<'_>> =
            menu.entries.iter().map(|id| Item { id, title: "it's", entry: &entry }).collect();
        let bytes = whole(&menu, &items, &Search::Uuid("12-34"));
        assert_eq!(Menu::parse(&bytes), menu);
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("menuentry 'it'\\''s' --class"), "{text}");
        assert!(text.contains("  search --no-floppy --set=root --fs-uuid '12-34'\n"), "{text}");
        assert!(text.contains("  linux '/x' 'a' 'b'\n  initrd '/y'\n"), "{text}");
        let beside = beside(&menu, true);
        assert_eq!(Menu::parse(&beside).trials, menu.trials);
        assert_eq!(Menu::parse(b"# imgbase-trial x y\nnonsense"), Menu::default());
    }
}
