//! Words and conditions of GRUB's script.

use std::fmt::Write;

use super::super::args::{Args, unquoted};
use super::super::lines::clean;

/// A word that GRUB reads as exactly that text.
///
/// Source: GRUB 2.06, `grub-core/script/yylex.l`: inside single quotes nothing is special, and they
/// cannot be escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", clean(text).replace('\'', "'\\''"))
}

/// The words of a kernel's command line. GRUB puts quotes around each that has a space in it, so
/// those that the kernel would take off go.
pub(super) fn arguments(args: &Args) -> String {
    let words: Vec<String> = args.words().map(|word| quoted(&unquoted(word))).collect();
    words.join(" ")
}

/// A script that grows line by line.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    depth: usize,
}

impl Script {
    pub(super) fn line(&mut self, line: &str) {
        let indent = "  ".repeat(self.depth);
        writeln!(self.text, "{indent}{line}").expect("a string takes all");
    }

    /// Lines that are one step deeper.
    pub(super) fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth = self.depth.saturating_add(1);
        inside(self);
        self.depth = self.depth.saturating_sub(1);
    }

    /// Lines under a condition.
    pub(super) fn when(&mut self, condition: &str, inside: impl FnOnce(&mut Self)) {
        self.line(&format!("if [ {condition} ]; then"));
        self.deeper(inside);
        self.line("fi");
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_kernel_as_they_are() {
        assert_eq!(quoted("it's $x"), "'it'\\''s $x'");
        assert_eq!(quoted("a\nb"), "'a b'");
        let args = Args::parse("a=b;c \"d e=f\" g=\"h i\" j='$k'");
        assert_eq!(arguments(&args), "'a=b;c' 'd e=f' 'g=h i' 'j='\\''$k'\\'''");
    }
}
