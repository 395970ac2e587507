//! grub.cfg, which others make: what it shows, what it reads, and whether it counts.

use super::super::entry::Entry;
use super::super::folder::BootPath;
use super::super::state::Found;

/// A menu entry's id and title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MenuEntry {
    pub(super) id: String,
    pub(super) title: String,
}

/// What is to be known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GrubCfg {
    pub(super) entries: Vec<MenuEntry>,
    /// True where it leads to custom.cfg.
    pub(super) reads_custom: bool,
    /// True where it counts `boot_counter` down itself.
    pub(super) counts: bool,
}

impl GrubCfg {
    /// Reads it, as far as lines tell.
    pub(super) fn parse(text: &str) -> Self {
        let mut cfg = Self::default();
        for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
            cfg.reads_custom |= line.contains("custom.cfg") && line.starts_with("source");
            cfg.counts |= line.starts_with("decrement boot_counter");
            if line.starts_with("menuentry ") || line.starts_with("menuentry\t") {
                cfg.entries.extend(menu_entry(line));
            }
        }
        cfg
    }

    /// Its entries, as entries of others that stand in that file.
    pub(super) fn found(&self, path: &BootPath) -> impl Iterator<Item = Found> {
        self.entries.iter().map(|entry| Found {
            path: path.clone(),
            id: entry.id.clone(),
            entry: Entry::default(),
            title: entry.title.clone(),
            counter: None,
            own: None,
            missing: Vec::new(),
            listed: true,
        })
    }
}

/// `menuentry 'Debian' --class os $menuentry_id_option 'id' {`
fn menu_entry(line: &str) -> Option<MenuEntry> {
    let words = words(line);
    let title = words.get(1)?.clone();
    let is_id = |word: &String| {
        matches!(word.as_str(), "--id" | "$menuentry_id_option" | "${menuentry_id_option}")
    };
    let place = words.iter().position(is_id).and_then(|at| at.checked_add(1));
    let by_word = place.and_then(|at| words.get(at)).cloned();
    let joined = words.iter().find_map(|word| word.strip_prefix("--id=").map(str::to_owned));
    Some(MenuEntry { id: by_word.or(joined).unwrap_or_else(|| title.clone()), title })
}

/// The words of a line of GRUB's script, out of their quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                begun = true;
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                begun = true;
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
            }
            '\\' => {
                begun = true;
                word.extend(chars.next());
            }
            ' ' | '\t' if begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            ' ' | '\t' => {}
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_s_is_understood() {
        let text = "set default=\"0\"\n\
            menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {\n\
            \tlinux /vmlinuz\n}\n\
            submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {\n\
            \tmenuentry \"Debian \\\"old\\\"\" --id=gnulinux-2 {\n}\n}\n\
            # menuentry 'no' {\n\
            menuentry It\\'s {\n}\n\
            if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n";
        let cfg = GrubCfg::parse(text);
        let ids: Vec<_> = cfg.entries.iter().map(|entry| (&*entry.id, &*entry.title)).collect();
        let wanted = [
            ("gnulinux-simple-1", "Debian GNU/Linux"),
            ("gnulinux-2", "Debian \"old\""),
            ("It's", "It's"),
        ];
        assert_eq!(ids, wanted);
        assert!(cfg.reads_custom && !cfg.counts);
        assert!(GrubCfg::parse("else\n    decrement boot_counter\nfi").counts);
    }
}
