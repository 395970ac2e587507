//! The command line parsed, and clap's complaints put into one line.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind as Complaint};
use imgbase::{Error, ErrorKind};

use super::args::{self, Cli, WITH_VALUE};
use super::render::Format;

/// What came of the command line.
pub(crate) enum Parsed {
    /// A command to run.
    Cli(Box<Cli>),
    /// Help or the version was asked for.
    Help(StyledStr),
    /// There was no command; the help instead.
    NoCommand(StyledStr),
    /// It is wrong.
    Bad(Error),
}

/// Parses a command line, the program's name first.
pub(crate) fn parse(words: &[OsString]) -> Parsed {
    match cli(words) {
        Ok(cli) if cli.command.is_none() => Parsed::NoCommand(Cli::command().render_help()),
        Ok(cli) if cli.global.quiet && (cli.global.verbose || cli.global.debug) => {
            Parsed::Bad(invalid(words, "--quiet cannot be used with --verbose or --debug"))
        }
        Ok(cli) => Parsed::Cli(Box::new(cli)),
        Err(error) => match error.kind() {
            Complaint::DisplayHelp | Complaint::DisplayVersion => Parsed::Help(error.render()),
            _ => Parsed::Bad(invalid(words, &complaint(&error))),
        },
    }
}

/// As [`Cli::try_parse_from`], but what clap knows is not taken apart again, which would take as
/// long as parsing does.
fn cli(words: &[OsString]) -> Result<Cli, clap::Error> {
    if let Some(cli) = Cli::of_one_verb(words) {
        return Ok(cli);
    }
    let mut command = ManuallyDrop::new(Cli::command());
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::of_matches(matches).map_err(|error| error.format(&mut command))
}

/// The error for a command line without a command.
pub(crate) fn no_command() -> Error {
    Error::new(ErrorKind::Invalid, "no command; see 'imgbase --help'")
}

/// The form of output that was asked for, as far as can be told of a bad command line.
pub(crate) fn format_asked(words: &[OsString]) -> Format {
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    if json { Format::Json } else { Format::Text }
}

/// The command that was asked for, if there is one of that name.
pub(crate) fn command_asked(words: &[OsString]) -> Option<String> {
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        let word = word.to_str()?;
        if WITH_VALUE.contains(&word) {
            rest.next();
        } else if !word.starts_with('-') {
            return args::is_verb(word).then(|| word.to_owned());
        }
    }
    None
}

fn invalid(words: &[OsString], what: &str) -> Error {
    let command = command_asked(words).map(|command| format!(" {command}")).unwrap_or_default();
    Error::new(ErrorKind::Invalid, format!("{what}; see 'imgbase{command} --help'"))
}

/// One line for a complaint of clap's, whose own text has several.
fn complaint(error: &clap::Error) -> String {
    let about = |kind| context(error, kind).unwrap_or_else(|| "an argument".to_owned());
    match error.kind() {
        Complaint::UnknownArgument => {
            let word = about(ContextKind::InvalidArg);
            let what = if word.starts_with('-') { "unknown option" } else { "unexpected argument" };
            format!("{what} '{}'", cut(&word))
        }
        Complaint::InvalidSubcommand => {
            format!("unknown command '{}'", cut(&about(ContextKind::InvalidSubcommand)))
        }
        Complaint::MissingRequiredArgument => {
            format!("missing {}", about(ContextKind::InvalidArg))
        }
        Complaint::ArgumentConflict => conflict(error),
        Complaint::ValueValidation => bad_value(error),
        Complaint::InvalidValue => unlisted_value(error),
        Complaint::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ => first_line(error),
    }
}

fn conflict(error: &clap::Error) -> String {
    let one = context(error, ContextKind::InvalidArg).unwrap_or_default();
    // Of a group clap lists all members, the one that was given first.
    let other = match error.get(ContextKind::PriorArg) {
        Some(ContextValue::Strings(others)) => others.first().cloned(),
        _ => context(error, ContextKind::PriorArg),
    };
    match other {
        Some(other) if other == one => format!("{one} is given twice"),
        Some(other) => format!("{one} cannot be used with {other}"),
        None => format!("{one} cannot be used here"),
    }
}

/// The value's own parser says what is wrong, naming the value.
fn bad_value(error: &clap::Error) -> String {
    let option = option(error);
    match std::error::Error::source(error) {
        Some(why) => format!("{option}: {why}"),
        None => first_line(error),
    }
}

fn unlisted_value(error: &clap::Error) -> String {
    let option = option(error);
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    match context(error, ContextKind::ValidValue) {
        _ if value.is_empty() => format!("{option}: a value is missing"),
        Some(valid) => format!("{option}: '{}' is none of {valid}", cut(&value)),
        None => format!("{option}: '{}' is no value for it", cut(&value)),
    }
}

/// The option or positional word that a value was given for, without its value's name: `--size`.
fn option(error: &clap::Error) -> String {
    let option = context(error, ContextKind::InvalidArg).unwrap_or_default();
    let name = option.split(' ').next().unwrap_or_default();
    name.trim_matches(['<', '>', '[', ']', '.']).to_owned()
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        ContextValue::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or("bad arguments");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// A word short enough for a message.
fn cut(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = word.chars().take(LONGEST).collect();
    if shown.len() < word.len() {
        shown.push_str("...");
    }
    shown
}
