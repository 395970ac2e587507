//! What a refusal is like: one line that names the object, and the documented exit code.

use crate::case::{Outcome, must};
use crate::vm::Vm;
use crate::wire::Done;

/// Longer than this and nobody reads it.
const LONGEST_LINE: usize = 600;

/// Runs imgbase with arguments as a shell splits them; it must end with `code`, say one line and
/// name each of `names` in it.
pub(super) fn refused(vm: &mut Vm, code: i32, args: &str, names: &[&str]) -> Outcome {
    refused_script(vm, code, &format!("imgbase {args}"), names)
}

/// As [`refused`], for a shell script that ends with imgbase.
pub(super) fn refused_script(vm: &mut Vm, code: i32, script: &str, names: &[&str]) -> Outcome {
    let done = vm.sh(script)?;
    judge(script, &done, code, names)
}

/// As [`refused`], with arguments that no shell has touched.
pub(super) fn refused_words(vm: &mut Vm, code: i32, words: &[&str], names: &[&str]) -> Outcome {
    let argv = [&["imgbase"], words].concat();
    let done = vm.run(&argv, b"")?;
    judge(&format!("{argv:?}"), &done, code, names)
}

fn judge(what: &str, done: &Done, code: i32, names: &[&str]) -> Outcome {
    let said = &done.stderr;
    must(
        done.status == code,
        format!("`{what}` exits {}, not {code}: {}{said}", done.status, done.stdout),
    )?;
    must(done.stdout.is_empty(), format!("`{what}` prints {}", done.stdout))?;
    let is_a_line = said.lines().count() == 1 && said.ends_with('\n');
    must(is_a_line, format!("`{what}` says more or less than one line:\n{said}"))?;
    must(said.starts_with("imgbase: "), format!("`{what}` says `{said}`, and not who says it"))?;
    must(said.len() < LONGEST_LINE, format!("`{what}` says very much: {said}"))?;
    let missing = names.iter().find(|name| !said.contains(**name));
    must(missing.is_none(), format!("`{what}` does not name {missing:?}: {said}"))
}
