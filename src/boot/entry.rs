//! Entry files of the Boot Loader Specification (UAPI.1, type 1).
//!
//! Ours have two comments beside: the kernel's version, and until the layer is blessed what was
//! added to its arguments for that time. There is one `options` line and no empty one, as some
//! loaders read no further.

use super::args::Args;
use super::lines::{Lines, clean};
use super::own;

/// Behind this comment stands the kernel's version.
const KERNEL: &str = "imgbase-kernel";

/// Behind this one stand the arguments that blessing removes.
const UNTIL_BLESSED: &str = "imgbase-until-blessed";

/// Keys whose value is one file.
const FILES: [&str; 5] = ["linux", "initrd", "devicetree", "efi", "uki"];

/// An entry, ours or anybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    lines: Lines,
}

/// What a new entry says.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) title: &'a str,
    pub(super) version: &'a str,
    pub(super) machine_id: Option<&'a str>,
    pub(super) sort_key: &'a str,
    pub(super) kernel: &'a str,
    pub(super) linux: &'a str,
    pub(super) initrds: &'a [String],
    pub(super) devicetree: Option<&'a str>,
    pub(super) args: &'a Args,
}

impl Entry {
    /// Takes a file apart; every sequence of bytes is one, though perhaps none that can be booted.
    pub fn parse(bytes: &[u8]) -> Self {
        Self { lines: Lines::parse(bytes) }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.lines.bytes()
    }

    pub(super) fn of(text: &Text<'_>) -> Self {
        let mut lines = Lines::default();
        lines.set_note(KERNEL, text.kernel);
        lines.add("title", &clean(text.title));
        lines.add("version", &clean(text.version));
        if let Some(id) = text.machine_id {
            lines.add("machine-id", &clean(id));
        }
        lines.add("sort-key", text.sort_key);
        lines.add("linux", text.linux);
        for initrd in text.initrds {
            lines.add("initrd", initrd);
        }
        if let Some(tree) = text.devicetree {
            lines.add("devicetree", tree);
        }
        let mut entry = Self { lines };
        entry.put_args(text.args);
        entry
    }

    /// The title.
    pub fn title(&self) -> Option<&str> {
        self.lines.last("title")
    }

    /// The version that entries of one sort key are sorted by.
    pub fn version(&self) -> Option<&str> {
        self.lines.last("version")
    }

    /// The installation that it belongs to.
    pub fn machine_id(&self) -> Option<&str> {
        self.lines.last("machine-id")
    }

    /// What entries are sorted by first.
    pub fn sort_key(&self) -> Option<&str> {
        self.lines.last("sort-key")
    }

    /// The kernel.
    pub fn linux(&self) -> Option<&str> {
        self.lines.last("linux")
    }

    /// The initial file systems, in order.
    pub fn initrds(&self) -> impl Iterator<Item = &str> {
        self.lines.all("initrd")
    }

    /// The device tree.
    pub fn devicetree(&self) -> Option<&str> {
        self.lines.last("devicetree")
    }

    /// The kernel's arguments, those of all `options` lines.
    pub fn args(&self) -> Args {
        let lines: Vec<&str> = self.lines.all("options").collect();
        Args::parse(&lines.join(" "))
    }

    /// All files that it names, as it names them, but with `/` for `\`.
    pub fn files(&self) -> impl Iterator<Item = String> {
        let single = FILES.into_iter().flat_map(|key| self.lines.all(key));
        let several = ["devicetree-overlay", "extra"].into_iter();
        let several = several.flat_map(|key| self.lines.all(key)).flat_map(str::split_whitespace);
        single.chain(several).map(|file| file.replace('\\', "/"))
    }

    /// True where a loader can make a menu entry of it.
    pub fn has_kernel(&self) -> bool {
        ["linux", "efi", "uki", "uki-url"].iter().any(|key| self.lines.last(key).is_some())
    }

    /// The kernel's version, where the entry is ours.
    pub fn kernel(&self) -> Option<&str> {
        self.lines.note(KERNEL).filter(|kernel| !kernel.is_empty())
    }

    /// True until it is blessed.
    pub fn is_unblessed(&self) -> bool {
        self.lines.note(UNTIL_BLESSED).is_some()
    }

    /// The arguments that it has for good.
    pub fn lasting_args(&self) -> Args {
        let mut args = self.args();
        for word in self.lines.note(UNTIL_BLESSED).unwrap_or_default().split_whitespace() {
            args.take(word);
        }
        args
    }

    /// The same entry with other arguments; what an unblessed one has beside is reckoned anew.
    pub(super) fn with_args(&self, args: &Args) -> Self {
        let mut entry = self.blessed();
        entry.put_args(args);
        if self.is_unblessed() { entry.unblessed() } else { entry }
    }

    /// The same, to be found good yet.
    pub(super) fn unblessed(&self) -> Self {
        let mut entry = self.blessed();
        let mut args = entry.args();
        let added = own::add_until_blessed(&mut args);
        entry.put_args(&args);
        entry.lines.set_note(UNTIL_BLESSED, &added.join(" "));
        entry
    }

    /// The same, found good: exactly what was added until then is gone.
    pub(super) fn blessed(&self) -> Self {
        if !self.is_unblessed() {
            return self.clone();
        }
        let (mut entry, args) = (self.clone(), self.lasting_args());
        entry.put_args(&args);
        entry.lines.remove_note(UNTIL_BLESSED);
        entry
    }

    pub(super) fn with_sort_key(&self, key: &str) -> Self {
        let mut entry = self.clone();
        entry.lines.set("sort-key", key);
        entry
    }

    /// The arguments alone are replaced: an unblessed entry's note no longer fits them.
    fn put_args(&mut self, args: &Args) {
        if args.is_empty() || self.lines.all("options").count() > 1 {
            self.lines.remove("options");
        }
        if !args.is_empty() {
            self.lines.set("options", &args.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(args: &str) -> Entry {
        Entry::of(&Text {
            title: "Base-1-0+1\n(6.1)",
            version: "1-0.l1-6.1",
            machine_id: Some("0123456789abcdef0123456789abcdef"),
            sort_key: "imgbase-layer",
            kernel: "6.1.0-25-amd64",
            linux: "/imgbase/ab/vmlinuz",
            initrds: &["/imgbase/cd/ucode".into(), "/imgbase/ef/initrd".into()],
            devicetree: Some("/imgbase/01/a.dtb"),
            args: &Args::parse(args),
        })
    }

    #[test]
    fn an_entry_says_what_it_was_made_of() {
        let made = entry("root=/dev/x quiet");
        let text = "# imgbase-kernel 6.1.0-25-amd64\n\
                    title Base-1-0+1 (6.1)\n\
                    version 1-0.l1-6.1\n\
                    machine-id 0123456789abcdef0123456789abcdef\n\
                    sort-key imgbase-layer\n\
                    linux /imgbase/ab/vmlinuz\n\
                    initrd /imgbase/cd/ucode\n\
                    initrd /imgbase/ef/initrd\n\
                    devicetree /imgbase/01/a.dtb\n\
                    options root=/dev/x quiet\n";
        assert_eq!(String::from_utf8_lossy(&made.bytes()), text);
        let read = Entry::parse(text.as_bytes());
        assert_eq!(read, made);
        assert_eq!(read.kernel(), Some("6.1.0-25-amd64"));
        let files: Vec<_> = read.files().collect();
        assert_eq!(files.len(), 4);
        assert_eq!(files[0], "/imgbase/ab/vmlinuz");
    }

    #[test]
    fn blessing_removes_what_was_added_and_no_more() {
        for own in ["quiet", "quiet panic=30", "panic=10 rd.shell=0 rd.emergency=reboot x", ""] {
            let made = entry(own);
            let waiting = made.unblessed();
            assert!(waiting.is_unblessed());
            for name in ["panic", "rd.shell", "rd.emergency"] {
                assert!(waiting.args().has(name), "{own}: {name}");
            }
            assert_eq!(waiting.lasting_args(), made.args());
            assert_eq!(waiting.blessed(), made);
            assert_eq!(waiting.unblessed(), waiting);
        }
    }

    #[test]
    fn other_arguments_while_unblessed_are_reckoned_anew() {
        let waiting = entry("quiet").unblessed();
        let mut args = waiting.lasting_args();
        args.add("panic=60").expect("a word");
        let changed = waiting.with_args(&args);
        assert_eq!(changed.args().to_string(), "quiet panic=60 rd.shell=0 rd.emergency=reboot");
        assert_eq!(changed.blessed().args().to_string(), "quiet panic=60");
    }

    #[test]
    fn entries_of_others_are_read() {
        let text =
            b"title  Debian\nlinux \\a\\b\nlinux /vmlinuz\noptions a\noptions b c\nextra x y\n";
        let read = Entry::parse(text);
        assert_eq!(read.linux(), Some("/vmlinuz"));
        assert_eq!(read.args().to_string(), "a b c");
        let files: Vec<_> = read.files().collect();
        assert_eq!(files, ["/a/b", "/vmlinuz", "x", "y"]);
        assert!(read.has_kernel() && !read.is_unblessed());
        assert!(!Entry::parse(b"title x\n").has_kernel());
    }

    proptest! {
        #[test]
        fn blessing_undoes_it(args in "([a-z.]{1,5}(=[a-z0-9]{0,3})? ){0,5}", panic in 0usize..3) {
            let own = format!("{args}{}", ["", "panic=5", "rd.shell=1"][panic]);
            let made = entry(&own);
            let again = Entry::parse(&made.unblessed().bytes()).blessed();
            prop_assert_eq!(again.bytes(), made.bytes());
        }
    }
}
