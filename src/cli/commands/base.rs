//! `imgbase base`: adds, finds, removes and pins bases.

use std::io::IsTerminal;

use imgbase::Result;
use imgbase::layout::{BaseName, ImageName};
use imgbase::ops::{AddBase, ImageRequest};

use super::image::{self, Sorted};
use super::invalid;
use crate::cli::answer::{Answer, Pin};
use crate::cli::args::{BaseArgs, Word};
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &BaseArgs, session: &Session<'_>) -> Result<Answer> {
    if let Some(word) = &args.add {
        let (name, image) = request(args, word.as_ref(), std::io::stdin().is_terminal())?;
        return session.change(|imgbase, watch| {
            let nvr = image::name(imgbase, name.as_ref(), &image, watch)?;
            let request =
                AddBase { nvr, image: image.clone(), size: args.size, share: !args.no_share };
            imgbase.add_base(&request, watch).map(Answer::BaseAdded)
        });
    }
    if let Some(base) = &args.remove {
        return session
            .change(|imgbase, watch| imgbase.remove_base(base, watch).map(Answer::Removed));
    }
    match (&args.pin, &args.unpin, &args.of_layer) {
        (Some(base), ..) => pin(base, true, session),
        (_, Some(base), _) => pin(base, false, session),
        (.., Some(layer)) => name(session.read(|imgbase, _| imgbase.base_of_layer(layer))?),
        _ => name(session.read(|imgbase, _| imgbase.latest_base())?),
    }
}

fn name(base: BaseName) -> Result<Answer> {
    Ok(Answer::Name(ImageName::Base(base)))
}

fn pin(base: &BaseName, pinned: bool, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| {
        let changed = imgbase.pin_base(base, pinned)?;
        Ok(Answer::Pin(Pin { nvr: base.clone(), pinned, changed }))
    })
}

/// What `--add` asks for: the name, where one was given, and the image.
fn request(
    args: &BaseArgs,
    word: Option<&Word>,
    stdin_is_terminal: bool,
) -> Result<(Option<BaseName>, ImageRequest)> {
    let sorted = Sorted::of(word.into_iter().chain(&args.words));
    let name = sorted.base_name()?;
    let image = match sorted.places.as_slice() {
        [] => image::stdin(stdin_is_terminal)?,
        [place] => image::source(place, stdin_is_terminal)?,
        [one, other, ..] => {
            let (one, other) = (one.display(), other.display());
            return Err(invalid(format!("'{one}' and '{other}' are two images")));
        }
    };
    Ok((name, image::request(image, &args.of)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;
    use imgbase::ErrorKind;
    use imgbase::ops::ImageSource;

    fn add(line: &str, terminal: bool) -> Result<(Option<BaseName>, ImageRequest)> {
        let words = ["imgbase", "base"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("clap takes it");
        let Some(Command::Base(args)) = cli.command else { panic!("{line}") };
        request(&args, args.add.clone().expect("--add").as_ref(), terminal)
    }

    #[test]
    fn image_and_name_come_in_either_order() {
        for line in [
            "--add a-1-0 ./i",
            "--add ./i a-1-0",
            "a-1-0 ./i --add",
            "./i --add a-1-0",
            "--add -- a-1-0 ./i",
        ] {
            let (name, image) = add(line, true).expect(line);
            assert_eq!(name.expect("given"), "a-1-0", "{line}");
            assert_eq!(image, ImageSource::Path("./i".into()).into(), "{line}");
        }
        assert_eq!(add("--add ./i", true).expect("the image may say it").0, None);
    }

    #[test]
    fn standard_input_is_read_unless_it_is_a_terminal() {
        for line in ["--add a-1-0", "--add a-1-0 -", "--add - a-1-0"] {
            assert_eq!(add(line, false).expect(line).1, ImageSource::Stdin.into(), "{line}");
            let error = add(line, true).expect_err(line);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{line}");
        }
    }

    #[test]
    fn words_that_do_not_fit_are_refused() {
        for line in ["--add a-1-0 b-1-0", "--add ./i ./j", "--add x"] {
            assert_eq!(add(line, false).expect_err(line).kind(), ErrorKind::Invalid, "{line}");
        }
        let url = add("--add a-1-0 https://h/i", false).expect_err("a URL");
        assert_eq!(url.kind(), ErrorKind::Unsupported);
    }
}
