//! What GRUB boots from a disk, without booting it.
//!
//! GRUB's own code says so: Debian's `grub-emu` is GRUB as a program of the bench. It reads the
//! disk's file systems, runs the configuration, chooses and writes its environment as it would at a
//! boot; only its commands `linux` and `initrd` are ours here, and print what they are asked for.

use crate::error::{Fail, Result};
use crate::loaders::Loader;
use crate::vm::{Vm, argument};

/// What it would have started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The kernel's path and what it is told.
    pub linux: String,
    /// The paths of what is loaded beside it.
    pub initrds: Vec<String>,
    /// The first of these files that is not there or empty.
    pub lacks: Option<String>,
    /// What GRUB complained of, beside the terminal that a program has not.
    pub errors: Vec<String>,
}

impl Choice {
    /// The value of an argument of the kernel.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        argument(&self.linux, name)
    }
}

const RUN: &str = r#"
rm -rf /tmp/emu && mkdir /tmp/emu && cd /tmp/emu || exit
echo "(hd0) /dev/$disk" >map
cat >grub.cfg <<END
function see {
    for file in \$@; do
        if [ -s \$file ]; then true; else echo "@lacks \$file"; fi
    done
}
function linux { echo; for word in \$@; do echo "@linux \$word"; done; see \$1; }
function initrd { echo; for word in \$@; do echo "@initrd \$word"; done; see \$@; exit; }
set root=hd0,gpt$partition
set prefix=(hd0,gpt$partition)/grub
configfile \$prefix/grub.cfg
END
TERM=dumb timeout 20 grub-emu -m map -r host -d /tmp/emu </dev/null 2>&1
echo "@status $?""#;

/// Lets GRUB choose: a try is counted, and a one-shot is gone then. Nothing of the disk may be
/// mounted.
///
/// # Errors
/// Where it starts no kernel.
pub fn choose(vm: &mut Vm, disk: &str, loader: Loader) -> Result<Choice> {
    // The whole disk and a partition have pages of their own, and GRUB may use either.
    vm.forget_pages(disk)?;
    let said = vm.ok(&format!("disk={disk} partition={}\n{RUN}", loader.boot_partition()))?;
    vm.forget_pages(disk)?;
    parse(&said).ok_or_else(|| Fail::new(format!("GRUB chooses nothing:\n{said}")))
}

/// A word a line: a longer line would be broken as on a terminal.
fn parse(said: &str) -> Option<Choice> {
    let mut choice = Choice::default();
    let mut words = Vec::new();
    for line in said.split(['\n', '\r']).map(str::trim) {
        let error = line.find("error: ").and_then(|at| line.get(at..));
        choice.errors.extend(error.filter(|text| !is_of_terminals(text)).map(str::to_owned));
        match line.split_once(' ') {
            Some(("@linux", word)) => words.push(word),
            Some(("@initrd", word)) => choice.initrds.push(word.to_owned()),
            Some(("@lacks", path)) => choice.lacks = choice.lacks.or(Some(path.to_owned())),
            _ => {}
        }
    }
    choice.linux = words.join(" ");
    (!choice.linux.is_empty()).then_some(choice)
}

fn is_of_terminals(error: &str) -> bool {
    ["serial'", "terminal `", "video mode"].iter().any(|word| error.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_understood() {
        let said = "\x1b[1;1Herror: can't find command `serial'.\r\nerror: file `/e' not found.\n\
            \r@linux /vmlinuz\n\r@linux img.bootid=a\n\r@linux b\n\r@lacks /vmlinuz\n\r\n\
            \r@initrd /one\n\r@initrd /two\n";
        let choice = parse(said).expect("a kernel is started");
        assert_eq!(choice.linux, "/vmlinuz img.bootid=a b");
        assert_eq!(choice.argument("img.bootid"), Some("a"));
        assert_eq!(choice.initrds, ["/one", "/two"]);
        assert_eq!(choice.lacks.as_deref(), Some("/vmlinuz"));
        assert_eq!(choice.errors, ["error: file `/e' not found."]);
        assert_eq!(parse("error: no server is specified"), None);
    }
}
