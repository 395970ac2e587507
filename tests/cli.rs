//! The built command, run in a fresh folder each time. Every verb goes through
//! the same cases; nothing here needs a disk or privileges.
#![cfg(feature = "cli")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Each verb with arguments that are complete, so that only the machine can refuse them.
const VERBS: [(&str, &[&str]); 14] = [
    ("layout", &[]),
    ("base", &["--latest"]),
    ("layer", &["--add"]),
    ("mount", &["a-1-0+1", "/mnt"]),
    ("umount", &["/mnt"]),
    ("activate", &["a-1-0+1"]),
    ("deactivate", &[]),
    ("diff", &["a-1-0", "a-1-0+1"]),
    ("export", &["a-1-0", "./x"]),
    ("volume", &["--create", "/var/log", "8G"]),
    ("check", &[]),
    ("recover", &["--list"]),
    ("watch", &["--once"]),
    ("w", &[]),
];

/// Verbs that only print.
const PRINTERS: [(&str, &[&str]); 2] = [("completions", &["bash"]), ("man", &[])];

fn every_verb() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    VERBS.into_iter().chain(PRINTERS)
}

fn command(args: &[&str]) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().expect("a fresh folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgbase"));
    command.args(args).current_dir(folder.path()).stdin(Stdio::null());
    command.env_remove("COLUMNS").env("TERM", "xterm");
    (folder, command)
}

fn imgbase(args: &[&str]) -> Output {
    let (_folder, mut command) = command(args);
    command.output().expect("the command runs")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

/// The exit code is `code`, standard output is empty, and standard error is one line.
#[track_caller]
fn refused(args: &[&str], code: i32) -> String {
    let output = imgbase(args);
    let line = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {line}");
    assert_eq!(stdout(&output), "", "{args:?}");
    assert_eq!(line.matches('\n').count(), 1, "{args:?}: {line}");
    assert!(line.starts_with("imgbase: ") && line.ends_with('\n'), "{args:?}: {line}");
    assert!(!line.contains('\x1b'), "{args:?}: no colours off a terminal: {line}");
    line.to_owned()
}

/// As [`refused`], with the line one JSON object of an error, which is returned.
#[track_caller]
fn refused_in_json(args: &[&str], code: i32) -> Value {
    let output = imgbase(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{args:?}");
    let object: Value = serde_json::from_str(stderr(&output)).expect("one object");
    assert_eq!(object["schema"], "imgbase/1", "{args:?}");
    assert_eq!(object["error"]["exit_code"], code, "{args:?}");
    assert!(object["error"]["message"].is_string() && object["error"]["kind"].is_string());
    object
}

fn joined<'a>(before: &[&'a str], verb: &'a str, after: &[&'a str]) -> Vec<&'a str> {
    before.iter().copied().chain([verb]).chain(after.iter().copied()).collect()
}

#[test]
fn every_verb_has_help_with_examples() {
    for (verb, _) in every_verb() {
        let long = imgbase(&[verb, "--help"]);
        assert_eq!(long.status.code(), Some(0), "{verb}");
        let example = format!("\n  imgbase {verb}");
        let text = stdout(&long);
        assert!(!text.contains('\\'), "{verb}: {text}");
        let plain = text.replace("imgbase --json ", "imgbase ");
        assert!(text.contains("Examples:") && plain.contains(&example), "{verb}: {text}");
        assert_eq!(stderr(&long), "", "{verb}");
        let short = imgbase(&[verb, "-h"]);
        assert!(short.status.success() && !stdout(&short).contains("Examples:"), "{verb}");
    }
}

#[test]
fn every_verb_refuses_an_unknown_option() {
    for (verb, args) in every_verb() {
        let line = refused(&joined(&[], verb, &[args, &["--no-such"]].concat()), 2);
        assert!(line.contains("'--no-such'"), "{verb}: {line}");
        assert!(line.contains(&format!("see 'imgbase {verb} --help'")), "{verb}: {line}");
    }
}

#[test]
fn every_verb_says_a_usage_error_in_json() {
    for (verb, args) in every_verb() {
        let args = joined(&["--json"], verb, &[args, &["--no-such"]].concat());
        let object = refused_in_json(&args, 2);
        assert_eq!(
            (&object["command"], &object["error"]["kind"]),
            (&verb.into(), &"invalid".into())
        );
    }
}

#[test]
fn every_verb_refuses_one_word_too_many() {
    for (verb, args) in every_verb().filter(|(verb, _)| !["activate", "deactivate"].contains(verb))
    {
        refused(&joined(&[], verb, &[args, &["b-1-0", "c-1-0", "d-1-0"]].concat()), 2);
    }
}

#[test]
fn every_verb_takes_global_options_before_and_after() {
    for (verb, args) in every_verb() {
        let missing = ["--config", "/nonexistent/imgbase.conf"];
        for words in [
            joined(&missing, verb, args),
            joined(&[], verb, &[args, &missing].concat()),
            joined(&["--vg", "V", "-v", "-y"], verb, &[args, &missing].concat()),
            joined(&["--lock-timeout=1", "--debug", "--dry-run"], verb, &[args, &missing].concat()),
            joined(&["--loader", "grub-bls", "--boot-dir=/b"], verb, &[args, &missing].concat()),
        ] {
            let output = imgbase(&words);
            let line = stderr(&output).lines().last().unwrap_or_default();
            assert_eq!(output.status.code(), Some(3), "{words:?}: {line}");
            assert!(line.contains("/nonexistent/imgbase.conf"), "{words:?}: {line}");
        }
        let object = refused_in_json(&joined(&missing, verb, &[args, &["--json"]].concat()), 3);
        assert_eq!(object["command"], verb);
        assert_eq!(object["error"]["kind"], "not-found");
    }
}

#[test]
fn the_configuration_says_what_boots_and_options_say_it_louder() {
    if !nix::unistd::geteuid().is_root() {
        // Without privileges nothing is read.
        return;
    }
    let folder = tempfile::tempdir().expect("a fresh folder");
    let config = folder.path().join("imgbase.conf");
    let config = config.to_str().expect("a plain path");
    let write = |text: &str| std::fs::write(config, text).expect("written");
    let list = ["--config", config, "boot", "--list"];
    write("[files]\npaths = /opt\n[boot]\nloader = lilo\n");
    let line = refused(&list, 2);
    assert!(line.contains(&format!("{config}, line 4: 'lilo'")), "{line}");
    assert!(line.contains("'systemd-boot', 'grub-bls', 'grub' or 'none'"), "{line}");
    let object = refused_in_json(&[&["--json"], &list[..]].concat(), 2);
    assert_eq!(object["error"]["kind"], "invalid");
    write("[boot]\ndir = /nonexistent/boot\nloader = systemd-boot\n");
    assert!(refused(&list, 3).contains("/nonexistent/boot"));
    for wins in [["--loader", "none"], ["--boot-dir", folder.path().to_str().expect("plain")]] {
        let output = imgbase(&[&wins[..], &list[..]].concat());
        assert!(!stderr(&output).contains("/nonexistent/boot"), "{}", stderr(&output));
    }
}

#[test]
fn every_verb_that_needs_the_machine_needs_privileges() {
    if !nix::unistd::geteuid().is_root() {
        for (verb, args) in VERBS {
            let line = refused(&joined(&[], verb, args), 3);
            assert!(line.contains("root"), "{verb}: {line}");
        }
        return;
    }
    for (verb, args) in VERBS {
        let output = unprivileged(&joined(&[], verb, args));
        assert_eq!(output.status.code(), Some(3), "{verb}: {}", stderr(&output));
        assert!(stderr(&output).contains("root"), "{verb}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{verb}");
    }
}

/// Runs the command as nobody, from a copy that nobody can reach.
fn unprivileged(args: &[&str]) -> Output {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().expect("a fresh folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("an open folder");
    let copy = folder.path().join("imgbase");
    // By another process: a program that this one holds open for writing, even in a child that
    // another test is just starting, cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_imgbase")).arg(&copy).status();
    assert!(copied.expect("cp runs").success());
    let mut command = Command::new(copy);
    command.args(args).current_dir("/").stdin(Stdio::null()).uid(65534).gid(65534);
    command.output().expect("the command runs")
}

#[test]
fn hostile_names_are_refused_everywhere() {
    let long = "x".repeat(300);
    let places: [&[&str]; 9] = [
        &["base", "--remove"],
        &["base", "--pin"],
        &["base", "--of-layer"],
        &["layer", "--remove"],
        &["layer", "--volume-path"],
        &["layer", "--add"],
        &["activate"],
        &["diff"],
        &["--vg"],
    ];
    let names = ["", "../x", &long, "a b", "-x", ".", "..", "a-1-0\nb", "\u{1b}[2J", "é-1-0", "/"];
    for place in places {
        for name in names {
            let line = refused(&[place, &[name]].concat(), 2);
            assert!(line.len() < 400, "{place:?} {name:?}: {line}");
        }
    }
    for name in ["a-1", "a-1-0+0", "a-1-0+x", "x_tdata-1-0", &format!("{long}-1-0")] {
        refused(&["activate", name], 2);
        refused(&["base", "--add", name, "./image"], 2);
    }
}

#[test]
fn words_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, mut command) = command(&["activate"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff-1-0")).output().expect("it runs");
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1));
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for args in [
        "layout --bases --layers",
        "layout --bases --free-space",
        "layout --bases --init ./x",
        "layout --init --init-nvr a-1-0 ./x",
        "layout --bases --force",
        "layout --free-space --size 1G",
        "layout --units m",
        "layout --layers --units m",
        "layout ./x",
        "layout --force",
        "layout --from ./x",
        "base --latest --remove a-1-0",
        "base --pin a-1-0 --unpin a-1-0",
        "base --latest ./x",
        "base --remove a-1-0 --size 1G",
        "base",
        "layer",
        "layer --latest --current",
        "layer --latest a-1-0",
        "layer --add a-1-0 b-1-0",
        "--quiet layout --verbose",
        "-q --debug layout",
        "base --remove a-1-0 --remove b-1-0",
        "layout --init ./x --size 1X",
        "layout --init ./x --size -1",
        "layout --free-space --units t",
        "--lock-timeout -1 w",
        "--lock-timeout soon w",
        "--loader lilo w",
        "completions tcsh",
        "volume",
        "volume --list --remove /x",
        "volume --create /x",
        "volume --create /var/logs",
        "volume --create /x big",
        "volume --create /etc 1G",
        "volume --create x 1G",
        "volume --remove /x --layer a-1-0+1",
        "volume --create /x 1G --force",
        "export a-1-0 ./x --format iso",
        "export a-1-0 ./x --compress xz",
        "export a-1-0",
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), 2);
    }
}

#[test]
fn a_volume_has_a_usual_size_or_needs_one() {
    for path in ["/home", "/tmp", "/var", "/var/crash", "/var/log", "/var/log/audit", "/var/tmp"] {
        // All that is missing is the group.
        let output = imgbase(&["volume", "--create", path, "--vg", "NoSuchGroup"]);
        assert_ne!(output.status.code(), Some(2), "{path}: {}", stderr(&output));
    }
    let line = refused(&["volume", "--create", "/opt"], 2);
    assert!(line.contains("/opt") && line.contains("8G"), "{line}");
}

#[test]
fn a_base_needs_a_name_and_an_image() {
    for args in [
        "base --add -",
        "base --add ./image ./other",
        "base --add a-1-0 b-1-0 ./image",
        "base --add rootfs",
        "layout --init a-1-0 ./disk",
        "layout --init --from ./image ./disk",
        "layout --init sdb",
        "layout --init -",
        "layout --init http://host/disk",
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), 2);
    }
}

#[test]
fn a_file_that_looks_like_a_name_gets_a_hint() {
    let (folder, mut command) = command(&["base", "--add", "a-1-0", "rootfs.img"]);
    std::fs::write(folder.path().join("rootfs.img"), "x").expect("a file");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("./rootfs.img"), "{}", stderr(&output));
}

#[test]
fn the_running_system_is_adopted_only_where_somebody_says_so() {
    for args in ["layout --init", "layout --init a-1-0 --from /"] {
        let line = refused(&args.split(' ').collect::<Vec<_>>(), 2);
        assert!(line.contains("--yes"), "{args}: {line}");
    }
}

#[test]
fn verbs_that_are_not_built_are_unknown() {
    for verb in ["grow", "frob"] {
        let line = refused(&[verb], 2);
        assert_eq!(line, format!("imgbase: unknown command '{verb}'; see 'imgbase --help'\n"));
        let object = refused_in_json(&["--json", verb], 2);
        assert_eq!(object["command"], Value::Null);
    }
    let help = imgbase(&["--help"]);
    assert!(!stdout(&help).contains("\n  grow "), "it is listed");
}

#[test]
fn without_a_command_there_is_the_help() {
    let output = imgbase(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Commands:") && stdout(&output).is_empty());
    refused_in_json(&["--json"], 2);
    let asked = imgbase(&["--help"]);
    assert_eq!((asked.status.code(), stderr(&asked)), (Some(0), ""));
    for (verb, _) in every_verb() {
        assert!(stdout(&asked).contains(&format!("\n  {verb} ")), "{verb} is listed");
    }
}

#[test]
fn the_version_is_printed() {
    let output = imgbase(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = concat!("imgbase ", env!("CARGO_PKG_VERSION"));
    assert!(stdout(&output).starts_with(expected), "{}", stdout(&output));
}

#[test]
fn texts_for_programs_come_plain_and_in_json() {
    for (verb, args) in PRINTERS {
        let text = imgbase(&joined(&[], verb, args));
        assert!(text.status.success() && text.stdout.len() > 1000, "{verb}");
        assert_eq!(stderr(&text), "", "{verb}");
        let json = imgbase(&joined(&["--json"], verb, args));
        let object: Value = serde_json::from_str(stdout(&json)).expect("one object");
        assert_eq!((&object["schema"], &object["command"]), (&"imgbase/1".into(), &verb.into()));
        assert_eq!(object["text"], stdout(&text), "{verb}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(&imgbase(&["completions", shell])).contains("imgbase"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (_folder, mut command) = command(&["man"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("it runs");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

#[test]
fn standard_output_that_is_full_is_a_failure() {
    let (_folder, mut command) = command(&["man"]);
    let full = std::fs::File::create("/dev/full").expect("it can be written");
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn an_interrupt_ends_a_verb_that_changes_nothing() {
    use nix::sys::signal::{Signal, kill};
    use std::io::Read;
    let folder = tempfile::tempdir().expect("a fresh folder");
    // Whoever runs the tests in the background has it ignored, and what is ignored stays so.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_imgbase"), "man"]);
    command.current_dir(folder.path()).stdin(Stdio::null());
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    // So small that the page does not fit: the command waits for a reader.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
    let mut child = command.stdout(writer).spawn().expect("it runs");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    // What it prints comes after it began to take signals.
    reader.read_exact(&mut [0]).expect("the first byte of the page");
    assert!(child.try_wait().expect("a child").is_none(), "it waits");
    kill(pid, Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
}
