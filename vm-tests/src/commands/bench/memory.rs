//! The peak of memory of each program, run once more for that.

use super::BASE;
use super::figures::Figures;
use crate::error::{Fail, Result};
use crate::vm::Vm;

type Run = (&'static str, &'static [&'static str]);

const RUNS: &[Run] = &[
    ("imgbase layout", &["imgbase", "layout"]),
    ("imgbase layer --add", &["imgbase", "layer", "--add", BASE]),
    ("imgbase base --add", &["imgbase", "base", "--add", "Weigh-1-1", "/images/debian.ext4"]),
    (
        "imgbase base --add, squashfs",
        &["imgbase", "base", "--add", "Weigh-1-2", "/mnt/spare/root.sqfs"],
    ),
    ("imgbase base --add, tar", &["imgbase", "base", "--add", "Weigh-1-3", "/mnt/spare/root.tar"]),
    (
        "imgbase base --add, tar.zst",
        &["imgbase", "base", "--add", "Weigh-1-4", "/mnt/spare/root.tar.zst"],
    ),
    ("imgbase base --remove", &["imgbase", "base", "--remove", "Weigh-1-1"]),
    ("imgbase check", &["imgbase", "check"]),
    ("lvs", &["lvs"]),
    ("lvcreate", &["lvcreate", "-s", "-kn", "-ay", "-n", "rival", "HostVG/Debian-12-1"]),
    ("lvremove", &["lvremove", "-q", "-q", "-f", "HostVG/rival"]),
];

/// What is left of that.
const CLEAN_UP: &str = "set -e
imgbase layer --remove $(imgbase layout --layers | grep ^Debian | sort -V | tail -n 1)
for base in Weigh-1-2 Weigh-1-3 Weigh-1-4; do imgbase base --remove $base; done";

/// All of them, and the group is as before.
pub(super) fn measure(vm: &mut Vm, figures: &mut Figures) -> Result<()> {
    for (name, argv) in RUNS {
        let done = vm.run(argv, b"")?;
        if done.status != 0 {
            return Err(Fail::new(format!("{name} exits {}: {}", done.status, done.stderr)));
        }
        figures.memory.push(((*name).to_owned(), done.max_rss_kib));
    }
    vm.ok(CLEAN_UP).map(drop)
}
