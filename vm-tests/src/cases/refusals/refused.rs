//! What a refusal is like: one line that names the object, and the documented exit code.

use crate::case::{Outcome, Stop, fail, must};
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

/// One of many attempts.
pub(super) struct Attempt<'a> {
    script: String,
    code: i32,
    names: Vec<&'a str>,
}

impl<'a> Attempt<'a> {
    /// imgbase with arguments as a shell splits them; see [`refused`].
    pub(super) fn new(code: i32, args: &str, names: &[&'a str]) -> Self {
        Self::script(code, format!("imgbase {args}"), names)
    }

    /// A script that ends with imgbase, and does nothing to the shell that runs it.
    pub(super) fn script(code: i32, script: String, names: &[&'a str]) -> Self {
        Self { script, code, names: names.to_vec() }
    }

    /// imgbase with arguments as they are.
    pub(super) fn words(code: i32, words: &[&str], names: &[&'a str]) -> Self {
        let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
        Self::new(code, &quoted.collect::<Vec<_>>().join(" "), names)
    }
}

/// As [`refused`] for each of them, by one shell: that takes a third of the time.
pub(super) fn refused_each(vm: &mut Vm, attempts: &[Attempt<'_>]) -> Outcome {
    each(vm, "look() { :; }", attempts).map(drop)
}

/// The same, and none of them writes to a disk or makes a device: what one did and the next undid
/// would not be seen in the end.
pub(super) fn refused_untouched(vm: &mut Vm, attempts: &[Attempt<'_>]) -> Outcome {
    let looks = each(vm, LOOK, attempts)?;
    must(looks.iter().all(|look| look.starts_with("vda ")), format!("{looks:?}"))?;
    for (pair, Attempt { script, .. }) in looks.windows(2).zip(attempts) {
        let [before, after] = pair else { continue };
        must(before == after, format!("`{script}` changed\n{before}\nto\n{after}"))?;
    }
    Ok(())
}

/// Of each disk what was written and discarded until now, in sectors, and the devices there are.
const LOOK: &str = "look() {
    for disk in /sys/block/vd?; do
        read a b c d e f written h i j k l m discarded rest <$disk/stat
        printf '%s %s %s, ' ${disk##*/} $written $discarded
    done
    echo /sys/block/dm-*
}";

/// Does the attempts, and looks before the first and after each.
fn each(vm: &mut Vm, look: &str, attempts: &[Attempt<'_>]) -> Result<Vec<String>, Stop> {
    let end = r"printf '\000%s\000' $?; look; printf '\000'; printf '\000' >&2";
    let script: String =
        attempts.iter().map(|attempt| format!("{}\n{end}\n", attempt.script)).collect();
    let script = format!("{look}\nlook; printf '\\000'\n{script}");
    let done = vm.run(&["sh", "-c", &script], b"")?;
    let mut out = done.stdout.split('\0');
    let mut err = done.stderr.split('\0');
    let mut looks = vec![out.next().unwrap_or_default().to_owned()];
    for Attempt { script, code, names } in attempts {
        let (stdout, status) = (out.next().unwrap_or_default(), out.next().unwrap_or_default());
        let (stdout, stderr) = (stdout.to_owned(), err.next().unwrap_or_default().to_owned());
        looks.push(out.next().unwrap_or_default().to_owned());
        let Ok(status) = status.parse() else { return fail(format!("`{script}` did not end")) };
        judge(script, &Done { status, stdout, stderr, ..Done::default() }, *code, names)?;
    }
    Ok(looks)
}

/// Starts a process that holds something, in Perl's words, and returns its number.
pub(super) fn hold(vm: &mut Vm, words: &str) -> Result<String, Stop> {
    let perl = format!("{words}\n$| = 1; print \"$$\\n\"; close STDOUT; sleep 1000;\n");
    vm.put("/run/hold.pl", "644", perl.as_bytes())?;
    let start = "rm -f /run/held; perl /run/hold.pl >/run/held & \
        while kill -0 $! && [ ! -s /run/held ]; do sleep 0.05; done; cat /run/held";
    Ok(vm.ok(start)?)
}

/// Ends it, and waits until it is gone.
pub(super) fn let_go(vm: &mut Vm, holder: &str) -> Outcome {
    // It stays a zombie until the first process has time for it.
    let gone = format!("[ ! -e /proc/{holder} ] || grep -q '^State:.Z' /proc/{holder}/status");
    vm.ok(&format!("kill {holder} && until {gone}; do sleep 0.05; done"))?;
    Ok(())
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
