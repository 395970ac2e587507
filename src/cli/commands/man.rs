//! `imgbase man`: one manual page for the whole command, made of the help.

use std::io::Write;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use imgbase::error::IoContext;
use imgbase::{Error, ErrorKind, Result};

use crate::cli::answer::{Answer, Document};
use crate::cli::args::{Cli, VERSION};

/// Exit codes and what they mean.
const EXIT_STATUS: [(&str, &str); 10] = [
    ("0", "Done. For check: well, or warnings only."),
    ("1", "Reading or writing failed, or a program that was run (mke2fs, xfs_admin) did."),
    ("2", "An argument is wrong."),
    ("3", "Something does not exist, exists already, is in use or locked, or is not permitted."),
    ("4", "There is not enough space; found out before the first write wherever it can be."),
    ("5", "A limit of this program, or a volume group that it must not touch."),
    ("6", "A checksum or an invariant on disk does not hold, or kernel and metadata disagree."),
    ("7", "An earlier operation was cut short and could not be finished or undone."),
    ("8", "A check failed."),
    ("130", "Stopped by SIGINT, SIGTERM or SIGHUP, after what was begun was undone."),
];

/// Files that are read or written.
const FILES: [(&str, &str); 18] = [
    ("/boot", "Or /efi, /boot/efi: the folder that the boot loader reads. Files in it:"),
    ("loader/entries", "Entries; with GRUB that does not read them: imgbase/entries."),
    ("loader/loader.conf", "systemd-boot's settings, of which the line default is written."),
    ("imgbase/DIGEST", "Kernels and what belongs to them, by their content."),
    ("grub/custom.cfg", "GRUB's, with one line of ours. It may be grub2, here and below."),
    ("grub/imgbase.cfg, grub/imgbase-NUMBER.cfg", "What leads to the menu in force, and menus."),
    ("grub/imgbase.env", "The menu in force, what boots next and once, and the tries left."),
    ("grub/grubenv", "The same where GRUB reads entries."),
    (
        "/etc/imgbase.conf, /etc/imgbase.conf.d",
        "What boots (in the former), and what updates carry over.",
    ),
    ("/etc/imgbase/keys", "Keys (NAME.pub), one of which must have signed an image."),
    ("/etc/imgbase/hooks.d", "Programs that are run over a new layer."),
    ("/etc/kernel/cmdline, /etc/kernel/devicetree", "A tree's kernel arguments and device tree."),
    ("/etc/kernel/tries", "How many tries a layer on trial has."),
    ("/run/imgbase", "Our own locks, and trees that are shown to hooks."),
    ("/run/imgbase.expedited", "Whether the kernel hurries for us (rcu_expedited)."),
    ("/dev/VG/NAME", "A volume that is active."),
    ("/run/lock/lvm", "lvm2's locks, which are taken and honoured."),
    (
        "/etc/lvm/lvm.conf, /etc/lvm/archive, /etc/lvm/backup",
        "lvm2's configuration, where lvm2 is installed, and metadata as text, where it asks for it.",
    ),
];

/// Words of the kernel's command line that the first process knows.
const KERNEL_WORDS: [(&str, &str); 9] = [
    ("img.bootid=LAYER", "The layer to start, of the group in rd.lvm.lv= or root=, else of ours."),
    ("imgbase.root=VG/LV", "A volume to start; counts more."),
    ("root=/dev/mapper/VG-LV", "The same, where neither of the two is there."),
    ("ro, rw, rootflags=OPTIONS, rootfstype=TYPE", "How it is mounted; read-only without rw."),
    ("init=PATH, imgbase.init=PATH", "Its first program, the latter where init= names imgbase."),
    ("imgbase.timeout=SECONDS", "How long its disks are waited for; 30 without it."),
    ("imgbase.onfail=prompt|reboot", "What follows where it cannot be started."),
    ("panic=N, rd.emergency=reboot", "A reboot follows, after N seconds."),
    ("imgbase.debug", "Each step goes to the kernel's log."),
];

/// Variables that are looked at.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("NO_COLOR", "Not empty: no colours. There are none anyway except on a terminal."),
    ("TERM", "The value dumb: no colours."),
    ("COLUMNS", "How long a line of progress may be; 80 without it."),
];

/// Runs it.
pub(super) fn run() -> Result<Answer> {
    let mut page = Vec::new();
    write_page(&mut page).context("make the manual page", "memory")?;
    let text = String::from_utf8(page).map_err(|source| Error::new(ErrorKind::Io, source))?;
    Ok(Answer::Document(Document { format: "roff".to_owned(), text }))
}

fn write_page(out: &mut Vec<u8>) -> std::io::Result<()> {
    let root = Cli::command().disable_help_subcommand(true);
    let man = Man::new(root.clone()).title("IMGBASE").section("8");
    let man = man.source(format!("imgbase {VERSION}")).manual("System administration");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    heading(out, "COMMANDS")?;
    for command in root.get_subcommands() {
        write_command(out, command)?;
    }
    list(out, "EXIT STATUS", &EXIT_STATUS)?;
    list(out, "FILES", &FILES)?;
    list(out, "KERNEL COMMAND LINE", &KERNEL_WORDS)?;
    list(out, "ENVIRONMENT", &ENVIRONMENT)?;
    heading(out, "EXAMPLES")?;
    examples(out, &root)?;
    heading(out, "SEE ALSO")?;
    let mut roff = Roff::new();
    roff.text([bold("lvm"), roman("(8), "), bold("lvmthin"), roman("(7), ")]);
    roff.text([bold("dmsetup"), roman("(8), "), bold("mke2fs"), roman("(8)")]);
    roff.to_writer(out)
}

/// A command as a subsection: its description, options and examples.
fn write_command(out: &mut Vec<u8>, command: &clap::Command) -> std::io::Result<()> {
    let name = format!("imgbase {}", command.get_name());
    let command = command.clone().bin_name(name.clone()).disable_help_flag(true);
    let mut roff = Roff::new();
    roff.control("SS", [name.as_str()]);
    roff.to_writer(out)?;
    let man = Man::new(command.clone());
    without_headings(out, |part| man.render_synopsis_section(part))?;
    paragraph(out)?;
    without_headings(out, |part| man.render_description_section(part))?;
    without_headings(out, |part| man.render_options_section(part))?;
    paragraph(out)?;
    examples(out, &command)
}

/// A section's text without its heading: it stands under one already.
fn without_headings(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut part = Vec::new();
    write(&mut part)?;
    let text = String::from_utf8_lossy(&part);
    let preamble = |line: &&str| !line.starts_with(".SH ") && !is_preamble(line);
    for line in text.lines().filter(preamble) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The two lines with which every text of the roff crate begins.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie ") || line.starts_with(".el ")
}

/// The examples that a command's help ends with, as they stand there.
fn examples(out: &mut Vec<u8>, command: &clap::Command) -> std::io::Result<()> {
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let mut roff = Roff::new();
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines {
        roff.text([Inline::Roman(line.trim_start().to_owned())]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
    roff.to_writer(out)
}

fn list(out: &mut Vec<u8>, title: &str, items: &[(&str, &str)]) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, what) in items {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*what)]);
    }
    roff.to_writer(out)
}

fn heading(out: &mut Vec<u8>, title: &str) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.to_writer(out)
}

fn paragraph(out: &mut Vec<u8>) -> std::io::Result<()> {
    writeln!(out, ".PP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let mut page = Vec::new();
        write_page(&mut page).expect("memory takes it");
        String::from_utf8(page).expect("UTF-8")
    }

    #[test]
    fn the_page_has_every_section_once_and_every_command() {
        let page = page();
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FILES", "ENVIRONMENT", "EXAMPLES"]
        {
            let heading = format!(".SH {section}");
            assert_eq!(page.lines().filter(|line| *line == heading).count(), 1, "{section}");
        }
        for section in ["EXIT STATUS", "KERNEL COMMAND LINE"] {
            assert!(page.contains(&format!(".SH \"{section}\"")), "{section}");
        }
        for command in Cli::command().get_subcommands() {
            let heading = format!(".SS \"imgbase {}\"", command.get_name());
            assert!(page.contains(&heading), "{heading}");
        }
    }

    #[test]
    fn exit_status_lists_what_errors_give() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::Unsupported,
            ErrorKind::Corrupt,
            ErrorKind::NeedsRecovery,
            ErrorKind::Unhealthy,
            ErrorKind::Io,
            ErrorKind::Interrupted,
        ] {
            let code = kind.exit_code().to_string();
            assert!(EXIT_STATUS.iter().any(|(listed, _)| *listed == code), "{code}");
        }
    }
}
