//! The command: a thin customer of the library.
//!
//! Arguments ([`args`]) become a request and its result an [`answer`]
//! ([`commands`]), which [`render`] prints; [`exit`] decides the exit code.

mod answer;
mod args;
mod commands;
mod exit;
mod interrupt;
mod logger;
mod process;
mod progress;
mod render;
mod session;
mod settings;
mod tick;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use imgbase::{Error, Result};

use args::{Cli, Command};
use interrupt::Interrupts;
use render::{Console, Data, Format};
use session::Session;
use settings::Settings;

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match usage::parse(&words) {
        usage::Parsed::Cli(cli) => run(*cli),
        usage::Parsed::Help(help) => print_help(&help),
        usage::Parsed::NoCommand(help) => no_command(&words, &help),
        usage::Parsed::Bad(error) => bad_usage(&words, &error),
    }
}

fn run(cli: Cli) -> ExitCode {
    let Some(command) = cli.command else { return ExitCode::from(exit::USAGE) };
    let settings = Settings::from(cli.global);
    let console = Arc::new(Console::new(settings.format, settings.loudness));
    let data = Data::stdout(settings.format, command.name());
    logger::install(&console, settings.loudness);
    let result = work(&command, &settings, &console, &data);
    let result = result.and_then(|verdict| data.flush().map(|()| verdict));
    finish(command.name(), &console, &data, result)
}

fn work(
    command: &Command,
    settings: &Settings,
    console: &Arc<Console>,
    data: &Data,
) -> Result<exit::Verdict> {
    let interrupts = Arc::new(Interrupts::watch(command.must_stop_cleanly(), console)?);
    settings.check()?;
    let session = Session::new(settings, console, interrupts);
    commands::run(command, &session, data)
}

fn finish(
    command: &'static str,
    console: &Console,
    data: &Data,
    result: Result<exit::Verdict>,
) -> ExitCode {
    if data.reader_is_gone() {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = &result {
        console.error(Some(command), error);
    }
    exit::code(&result)
}

fn print_help(help: &clap::builder::StyledStr) -> ExitCode {
    let data = Data::stdout(Format::Text, "");
    let result = data.help(help).and_then(|()| data.flush());
    let console = Console::new(Format::Text, settings::Loudness::Normal);
    finish("", &console, &data, result.map(|()| exit::Verdict::Done))
}

fn no_command(words: &[OsString], help: &clap::builder::StyledStr) -> ExitCode {
    let format = usage::format_asked(words);
    let console = Console::new(format, settings::Loudness::Normal);
    match format {
        Format::Text => console.help(help),
        Format::Json => console.error(None, &usage::no_command()),
    }
    ExitCode::from(exit::USAGE)
}

fn bad_usage(words: &[OsString], error: &Error) -> ExitCode {
    let console = Console::new(usage::format_asked(words), settings::Loudness::Normal);
    console.error(usage::command_asked(words).as_deref(), error);
    exit::of_error(error)
}
