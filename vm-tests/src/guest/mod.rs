//! The guest's half: the first process, which serves the channel, and small tools beside it.

mod init;
mod labels;
mod runner;
mod serve;
mod state;
mod tree;

use std::process::ExitCode;

/// Chooses by the first argument.
#[must_use]
pub fn main() -> ExitCode {
    let mut args = std::env::args();
    if args.next().is_some_and(|program| program.ends_with("/init")) {
        return init::first_of_layer();
    }
    let args: Vec<String> = args.collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["init", flavour] => init::first_process(flavour),
        ["service"] => init::service(),
        ["run", millis, result, argv @ ..] => runner::run(millis, result, argv),
        ["tree", root] => tree::print(root),
        ["labelled"] => labels::print(),
        ["state"] => state::print(),
        ["true"] => ExitCode::SUCCESS,
        _ => {
            eprintln!("guest: init FLAVOUR | service | run MILLISECONDS RESULT ARGV...");
            eprintln!("       tree ROOT | labelled | state | true");
            ExitCode::from(2)
        }
    }
}
