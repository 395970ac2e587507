//! The commands behind the aliases.

mod bench;
mod demo;
mod hostile;
mod verify;
mod vm;

use std::process::ExitCode;

use crate::error::{Fail, Result};
use crate::setup;

const USAGE: &str = "\
cargo set-up                   what all others need, which they also do by themselves
cargo demo                     the main job for real, in a throwaway machine where need be
cargo verify [--all]           every test; --all: every power cut of each, not a sample
cargo vm [CASE...] [--all]     cases whose name holds one of the words; all without; --all as above
cargo vm --list                their names
cargo vm --sh SCRIPT [--udev] [--liblvm]
                               a shell script in a throwaway machine; --liblvm: with that build
cargo hostile [NAME...] [--seconds N]
                               fuzzers on what a disk, a kernel or an image says
cargo bench-vm [--json FILE] [--durable] [--only GROUP,...] [--svg FOLDER]
                               imgbase beside lvm2, qemu-img, tar, diff and Debian's initramfs, measured";

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match choose(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fail) => {
            eprintln!("{fail}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn choose(args: &[String]) -> Result<bool> {
    let (command, rest) = args.split_first().ok_or_else(|| Fail::new(USAGE))?;
    match command.as_str() {
        "set-up" => setup::assets().map(|_| true),
        "demo" => demo::main(),
        "verify" => verify::main(rest),
        "vm" => vm::main(rest),
        "hostile" => hostile::main(rest),
        "bench" => bench::main(rest),
        _ => Err(Fail::new(USAGE)),
    }
}
