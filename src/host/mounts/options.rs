//! Options of a mount as fstab(5) words them, of which mount(2) takes some as flags.

use nix::mount::MsFlags;

/// A word, the flag that it is about, and whether it sets it.
const FLAGS: [(&str, MsFlags, bool); 18] = [
    ("nosuid", MsFlags::MS_NOSUID, true),
    ("suid", MsFlags::MS_NOSUID, false),
    ("nodev", MsFlags::MS_NODEV, true),
    ("dev", MsFlags::MS_NODEV, false),
    ("noexec", MsFlags::MS_NOEXEC, true),
    ("exec", MsFlags::MS_NOEXEC, false),
    ("sync", MsFlags::MS_SYNCHRONOUS, true),
    ("async", MsFlags::MS_SYNCHRONOUS, false),
    ("dirsync", MsFlags::MS_DIRSYNC, true),
    ("noatime", MsFlags::MS_NOATIME, true),
    ("atime", MsFlags::MS_NOATIME, false),
    ("nodiratime", MsFlags::MS_NODIRATIME, true),
    ("diratime", MsFlags::MS_NODIRATIME, false),
    ("relatime", MsFlags::MS_RELATIME, true),
    ("norelatime", MsFlags::MS_RELATIME, false),
    ("strictatime", MsFlags::MS_STRICTATIME, true),
    ("lazytime", MsFlags::MS_LAZYTIME, true),
    ("nolazytime", MsFlags::MS_LAZYTIME, false),
];

/// Words that say what is said elsewhere, or nothing.
const DROPPED: [&str; 3] = ["ro", "rw", "defaults"];

/// The flags among the options, and the others, which the file system itself reads.
pub(super) fn split(options: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for word in options.split(',').filter(|word| !word.is_empty() && !DROPPED.contains(word)) {
        match FLAGS.iter().find(|(name, ..)| *name == word) {
            Some((_, flag, sets)) => flags.set(*flag, *sets),
            None => data.push(word),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_data_are_told_apart_and_the_last_word_counts() {
        let (flags, data) = split("defaults,noatime,discard,nosuid,ro,suid,data=journal,,lazytime");
        assert_eq!(flags, MsFlags::MS_NOATIME | MsFlags::MS_LAZYTIME);
        assert_eq!(data, "discard,data=journal");
        assert_eq!(split(""), (MsFlags::empty(), String::new()));
    }
}
