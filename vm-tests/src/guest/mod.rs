//! The guest's half: the first process, which serves the channel, and small tools beside it.

mod chunks;
mod ext4;
mod init;
mod labels;
mod messages;
mod others;
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
        ["service"] => service(),
        ["run", millis, result, argv @ ..] => runner::run(millis, result, argv),
        ["tree", root] => tree::print(root),
        ["chunks", one, two] => chunks::print(one, two),
        ["ext4", device] => ext4::print(device),
        ["labelled"] => labels::print(),
        ["state"] => state::print(),
        ["messages", pool, verb, first, count] => messages::send(pool, verb, [first, count]),
        ["true"] => ExitCode::SUCCESS,
        _ => {
            eprintln!("guest: init FLAVOUR | service | run MILLISECONDS RESULT ARGV...");
            eprintln!("       tree ROOT | chunks ONE TWO | ext4 DEVICE | labelled | state | true");
            eprintln!("       messages POOL VERB FIRST COUNT");
            ExitCode::from(2)
        }
    }
}

fn service() -> ExitCode {
    match init::service() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("guest: {fail}");
            ExitCode::FAILURE
        }
    }
}
