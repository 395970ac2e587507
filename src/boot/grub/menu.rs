//! The file that GRUB is given: menu entries and the choice among them, or that choice alone.
//!
//! No menu is changed: another one has another number. What it was made of stands in its comments,
//! so that it can be read again. GRUB cannot count, so each number of tries is a case of its own; and
//! what it could not write down it does not try: then the fallback boots.

use super::super::entry::Entry;
use super::super::lines::Lines;
use super::super::loader::Tries;
use super::script::{Script, arguments, quoted};
use super::switch::{self, COUNTER, DEFAULT, FALLBACK, NONE, ONCE, SUCCESS};

/// The number, in grubenv, of the trial that `boot_counter` there is of.
pub(super) const TRIAL: &str = "imgbase_trial";

const NOTE_TRIAL: &str = "imgbase-trial";
const NOTE_ENTRY: &str = "imgbase-entry";

/// A layer on trial where GRUB reads entry files itself, by its entry's id.
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
    pub(super) trials: Vec<MenuTrial>,
    /// The entries' ids; the first has the number 1.
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
            trials: lines.notes(NOTE_TRIAL).filter_map(trial).collect(),
            entries: lines.notes(NOTE_ENTRY).map(str::to_owned).collect(),
        }
    }

    pub(super) fn trial_of(&self, id: &str) -> Option<&MenuTrial> {
        self.trials.iter().find(|trial| trial.id == id)
    }

    /// The id behind a number.
    pub(super) fn id(&self, number: u32) -> Option<&str> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.entries.get(place).map(String::as_str)
    }

    /// The number of an id; 0 for none.
    pub(super) fn number(&self, id: &str) -> u32 {
        let place = self.entries.iter().position(|entry| entry == id);
        place.and_then(|place| u32::try_from(place).ok()?.checked_add(1)).unwrap_or(0)
    }
}

/// An entry as the menu shows it.
pub(super) struct Item {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) entry: Entry,
}

/// How GRUB finds the file system with the kernels.
pub(super) enum Search<'a> {
    Uuid(&'a str),
    /// By the kernel itself.
    File,
}

const HEAD: &str = "# Made by imgbase, anew with each change: what is edited here is lost.";

/// What boots; the number of an entry.
const GO: &str = "imgbase_go";
/// 1 where a try is to be made.
const TRY: &str = "imgbase_try";

/// The menu of a GRUB that reads no entry files.
pub(super) fn whole(items: &[Item], search: &Search<'_>) -> Vec<u8> {
    let mut script = Script::default();
    script.line(HEAD);
    for item in items {
        script.line(&format!("# {NOTE_ENTRY} {}", item.id));
    }
    for item in items {
        let (title, id) = (quoted(&item.title), quoted(&item.id));
        let words = "--class gnu-linux --class os --unrestricted";
        script.line(&format!("menuentry {title} {words} --id {id} {{"));
        script.deeper(|script| start(script, &item.entry, search));
        script.line("}");
    }
    // What grub.cfg itself lets boot once comes first.
    script.when("\"${boot_once}\" != \"true\"", |script| {
        script.line(&format!("load_env -f {}", block()));
        script.line(&format!("set {GO}=\"${{{DEFAULT}}}\""));
        script.line(&format!("if [ {} ]; then", is_set(ONCE)));
        script.deeper(once);
        script.line(&format!("elif [ {} ]; then", is_set(FALLBACK)));
        script.deeper(try_out);
        script.line("fi");
        for (number, item) in (1..).zip(items) {
            script.when(&format!("\"${{{GO}}}\" = \"{number:04}\""), |script| {
                script.line(&format!("set default={}", quoted(&item.id)));
            });
        }
    });
    script.bytes()
}

fn is_set(name: &str) -> String {
    format!("-n \"${{{name}}}\" -a \"${{{name}}}\" != \"{NONE}\"")
}

/// The block of ours, as a word.
fn block() -> String {
    format!("\"${{imgbase_folder}}/{}\"", switch::FILE)
}

/// Forgotten before it is started; where that cannot be written down it is not started.
fn once(script: &mut Script) {
    script.line(&format!("set {TRY}=\"${{{ONCE}}}\""));
    script.line(&format!("set {ONCE}={NONE}"));
    script.line(&format!("if save_env -f {} {ONCE}; then set {GO}=\"${{{TRY}}}\"; fi", block()));
}

fn try_out(script: &mut Script) {
    script.line(&format!("set {GO}=\"${{{FALLBACK}}}\""));
    count(script);
    script.when(&format!("-n \"${{{TRY}}}\""), |script| {
        let save = format!("save_env -f {} {COUNTER} {SUCCESS}", block());
        script.line(&format!("if {save}; then set {GO}=\"${{{DEFAULT}}}\"; fi"));
    });
}

/// Takes one try away, where one is left; a start after one that came up takes none.
fn count(script: &mut Script) {
    script.line(&format!("set {TRY}="));
    let came_up = format!("\"${{{SUCCESS}}}\" = \"1\" -a \"${{{COUNTER}}}\" != \"0\"");
    script.line(&format!("if [ {came_up} ]; then set {TRY}=1"));
    for one_less in (0..9_u32).rev() {
        let left = one_less.saturating_add(1);
        script.line(&format!(
            "elif [ \"${{{COUNTER}}}\" = \"{left}\" ]; then set {TRY}=1; set {COUNTER}={one_less}"
        ));
    }
    script.line("fi");
    script.line(&format!("set {SUCCESS}=0"));
}

/// What a GRUB that reads entry files itself is given: the trials of what `saved_entry` names, and
/// nothing for what it does not name. Where grub.cfg counts itself, as Fedora's does, its count is
/// used: it stands at -1 when all tries are used up.
pub(super) fn beside(trials: &[MenuTrial], grub_counts: bool) -> Vec<u8> {
    let mut script = Script::default();
    script.line(HEAD);
    for trial in trials {
        let MenuTrial { number, tries, id, fallback } = trial;
        script.line(&format!("# {NOTE_TRIAL} {number} {} {id} {fallback}", tries.get()));
    }
    for trial in trials {
        let id = quoted(&trial.id);
        let condition = format!("\"${{boot_once}}\" != \"true\" -a \"${{saved_entry}}\" = {id}");
        script.when(&condition, |script| {
            if grub_counts { counted_by_grub(script, trial) } else { counted_here(script, trial) }
        });
    }
    script.bytes()
}

fn counted_by_grub(script: &mut Script, trial: &MenuTrial) {
    script.line(&format!("set default={}", quoted(&trial.id)));
    let number = trial.number;
    let used_up = format!("\"${{{TRIAL}}}\" = \"{number}\" -a \"${{{COUNTER}}}\" = \"-1\"");
    script.when(&used_up, |script| {
        script.line(&format!("set default={}", quoted(&trial.fallback)));
    });
}

fn counted_here(script: &mut Script, trial: &MenuTrial) {
    script.line(&format!("set default={}", quoted(&trial.fallback)));
    script.when("-s \"${prefix}/grubenv\"", |script| {
        script.line(&format!("load_env {TRIAL} {COUNTER} {SUCCESS}"));
        // As long as grubenv does not name the trial, no try of it was made.
        let number = trial.number;
        script.when(&format!("\"${{{TRIAL}}}\" != \"{number}\""), |script| {
            script.line(&format!("set {TRIAL}={number}"));
            script.line(&format!("set {COUNTER}={}", trial.tries.get()));
            script.line(&format!("set {SUCCESS}=0"));
        });
        count(script);
        script.when(&format!("-n \"${{{TRY}}}\""), |script| {
            let save = format!("save_env {TRIAL} {COUNTER} {SUCCESS}");
            script.line(&format!("if {save}; then set default={}; fi", quoted(&trial.id)));
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

    #[test]
    fn a_menu_says_what_it_was_made_of() {
        let entry = Entry::parse(b"linux /x\ninitrd /y\noptions a b\n");
        let item = |id: &str| Item { id: id.into(), title: "it's".into(), entry: entry.clone() };
        let items = [item("imgbase__a__k__"), item("imgbase__b__k__")];
        let bytes = whole(&items, &Search::Uuid("12-34"));
        let menu = Menu::parse(&bytes);
        assert_eq!(menu.entries, ["imgbase__a__k__", "imgbase__b__k__"]);
        assert_eq!((menu.id(2), menu.id(3), menu.id(0)), (Some("imgbase__b__k__"), None, None));
        assert_eq!((menu.number("imgbase__b__k__"), menu.number("x")), (2, 0));
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("menuentry 'it'\\''s' --class"), "{text}");
        assert!(text.contains("  search --no-floppy --set=root --fs-uuid '12-34'\n"), "{text}");
        assert!(text.contains("  linux '/x' 'a' 'b'\n  initrd '/y'\n"), "{text}");
        let trial = MenuTrial {
            number: 7,
            tries: Tries::default(),
            id: "imgbase__b__k__".into(),
            fallback: "imgbase__a__k__".into(),
        };
        let beside = beside(std::slice::from_ref(&trial), true);
        assert_eq!(Menu::parse(&beside).trials, [trial]);
        assert_eq!(Menu::parse(b"# imgbase-trial x y\nnonsense"), Menu::default());
    }
}
