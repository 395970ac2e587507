//! The kernel's command line in words, split as the kernel itself does it (lib/cmdline.c,
//! `next_arg`).

/// A word: `ro`, or `root=/dev/sda1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What stands before the first `=`, or all of it.
    pub key: String,
    /// What stands behind it.
    pub value: Option<String>,
}

/// All words before a `--`: what follows that is for the first program alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Word>);

impl Words {
    /// Splits at blanks that stand in no double quotes.
    pub fn parse(line: &str) -> Self {
        let mut quoted = false;
        let words = line.split(|c: char| {
            quoted ^= c == '"';
            !quoted && c.is_ascii_whitespace()
        });
        let words = words.filter(|word| !word.is_empty()).take_while(|word| *word != "--");
        Self(words.map(Word::parse).collect())
    }

    /// The value of that key; of several the last one counts.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values(key).last()
    }

    /// The values of that key, in order.
    pub fn values(&self, key: &str) -> impl DoubleEndedIterator<Item = &str> {
        let of_key = self.0.iter().filter(move |word| word.key == key);
        of_key.filter_map(|word| word.value.as_deref())
    }

    /// Whether the last of these flags is the first of the two: `ro`, `rw`. `None` without any.
    pub fn last_is(&self, yes: &str, no: &str) -> Option<bool> {
        let mut flags = self.0.iter().rev().filter(|word| word.value.is_none());
        flags.find(|word| word.key == yes || word.key == no).map(|word| word.key == yes)
    }

    /// The parameters for a kernel module, as the kernel takes them: of `virtio_blk.queue_depth=64`
    /// the part behind the dot. A dash counts as an underscore.
    pub fn parameters_of(&self, module: &str) -> String {
        let is_module = |name: &str| same_name(name, module);
        let own = self.0.iter().filter_map(|word| {
            let (name, parameter) = word.key.split_once('.')?;
            if !is_module(name) || parameter.is_empty() {
                return None;
            }
            Some(match &word.value {
                Some(value) if value.contains(' ') => format!("{parameter}=\"{value}\""),
                Some(value) => format!("{parameter}={value}"),
                None => parameter.to_owned(),
            })
        });
        own.collect::<Vec<_>>().join(" ")
    }

    /// True for a module that must not be loaded: `module_blacklist=` and `modprobe.blacklist=`.
    pub fn forbids(&self, module: &str) -> bool {
        let lists = self.values("module_blacklist").chain(self.values("modprobe.blacklist"));
        lists.flat_map(|list| list.split(',')).any(|name| same_name(name, module))
    }
}

impl Word {
    fn parse(text: &str) -> Self {
        let text =
            text.strip_prefix('"').map_or(text, |rest| rest.strip_suffix('"').unwrap_or(rest));
        let Some((key, value)) = text.split_once('=') else {
            return Self { key: text.to_owned(), value: None };
        };
        let inner = value.strip_prefix('"');
        let value = inner.map_or(value, |rest| rest.strip_suffix('"').unwrap_or(rest));
        Self { key: key.to_owned(), value: Some(value.to_owned()) }
    }
}

/// To the kernel `-` and `_` are the same in the name of a module or a parameter.
fn same_name(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    a.bytes().map(plain).eq(b.bytes().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_the_kernel_does() {
        let words = Words::parse(" ro  a=b=c \"d e=f g\" h=\"i j\"\tk= l=\"open m\n");
        let word = |key: &str, value: Option<&str>| Word {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        };
        let wanted = [
            word("ro", None),
            word("a", Some("b=c")),
            word("d e", Some("f g")),
            word("h", Some("i j")),
            word("k", Some("")),
            word("l", Some("open m\n")),
        ];
        assert_eq!(words.0, wanted);
        assert_eq!(Words::parse("").0, []);
    }

    #[test]
    fn the_last_one_counts_and_nothing_behind_the_dashes() {
        let words = Words::parse("init=/a quiet rw init=/b ro -- init=/c rw");
        assert_eq!(words.value("init"), Some("/b"));
        assert_eq!(words.values("init").collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(words.value("quiet"), None);
        assert_eq!(words.last_is("ro", "rw"), Some(true));
        assert_eq!(Words::parse("rw=1").last_is("ro", "rw"), None);
        assert_eq!(Words::parse("ro rw").last_is("ro", "rw"), Some(false));
    }

    #[test]
    fn a_module_gets_its_parameters() {
        let line = "virtio-blk.a=1 virtio_blk.b virtio_blkx.c=1 virtio_blk.d=\"x y\" virtio_blk.";
        assert_eq!(Words::parse(line).parameters_of("virtio_blk"), "a=1 b d=\"x y\"");
        assert_eq!(Words::parse(line).parameters_of("dm_mod"), "");
    }

    #[test]
    fn modules_can_be_forbidden() {
        let words = Words::parse("module_blacklist=ahci,sd-mod modprobe.blacklist=nvme");
        assert!(words.forbids("sd_mod") && words.forbids("nvme") && words.forbids("ahci"));
        assert!(!words.forbids("sd") && !Words::parse("").forbids(""));
    }
}
