//! `imgbase export`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use imgbase::layout::ImageName;
use imgbase::ops::ExportFormat;
use imgbase::pack::Packing;

const LONG_ABOUT: &str = "\
Writes a base or a layer to a file, which 'imgbase base --add' takes again.

As raw it is the volume's bytes, with holes where nothing is used; as qcow2 a disk image of QEMU's \
without what is not used; as tar an archive of its files with owners, times, attributes, access rights \
and capabilities (sockets are left out). The format is told by the file's name, as is how it is packed: \
.raw or .tar, and .gz or .zst after that, or .qcow2, which is not packed as a whole; raw, not packed, \
where it tells nothing. --format and --compress say it outright.

A base is read as it lies there, and so is a layer that nobody uses. One that is mounted, or runs, goes \
out as it is at this moment: from a snapshot that is made for that and removed again. The file gets its \
name when all is in it and durable; what is interrupted leaves none. It can be read by its owner alone.

With - it goes to standard output.";

const AFTER: &str = "\
Examples:
  imgbase export Debian-12-1 ./debian.qcow2
  imgbase export Debian-12-1+2 ./layer.raw.zst
  imgbase export Debian-12-1+2 /backup/layer.tar.gz
  imgbase export Debian-12-1 - --compress zstd | ssh store 'cat >debian.raw.zst'
  imgbase --dry-run export Debian-12-1 ./debian.tar";

/// What it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Raw,
    Qcow2,
    Tar,
}

/// How it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compress {
    Gzip,
    Zstd,
    None,
}

/// Write a base or layer to a file
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER)]
pub(crate) struct ExportArgs {
    /// The base or layer
    #[arg(value_name = "NVR")]
    pub(crate) image: ImageName,

    /// The file, or - for standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: OsString,

    /// What it becomes (default: told by the file's name, else raw)
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    /// How it is packed (default: told by the file's name, else not)
    #[arg(long, value_name = "HOW", value_enum)]
    compress: Option<Compress>,

    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

impl ExportArgs {
    /// What it becomes, and how that is packed.
    pub(crate) fn form(&self) -> (ExportFormat, Option<Packing>) {
        let name = self.file.to_string_lossy().to_ascii_lowercase();
        let (rest, packing) = match name.rsplit_once('.') {
            Some((rest, "gz")) => (rest, Some(Packing::Gzip)),
            Some((rest, "zst")) => (rest, Some(Packing::Zstd)),
            // That is told: nothing else may go by this name.
            Some((rest, "xz")) => (rest, Some(Packing::Xz)),
            Some((_, "tgz")) => (".tar", Some(Packing::Gzip)),
            Some((_, "tzst")) => (".tar", Some(Packing::Zstd)),
            _ => (name.as_str(), None),
        };
        let format = match (self.format, rest.rsplit_once('.')) {
            (Some(Format::Tar), _) | (None, Some((_, "tar"))) => ExportFormat::Tar,
            (Some(Format::Qcow2), _) | (None, Some((_, "qcow2"))) => ExportFormat::Qcow2,
            _ => ExportFormat::Raw,
        };
        let packing = match self.compress {
            Some(Compress::Gzip) => Some(Packing::Gzip),
            Some(Compress::Zstd) => Some(Packing::Zstd),
            Some(Compress::None) => None,
            None => packing,
        };
        (format, packing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn form(line: &str) -> (ExportFormat, Option<Packing>) {
        let words = ["imgbase", "export", "a-1-0"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).expect("clap takes it");
        let Some(Command::Export(args)) = cli.command else { panic!("{line}") };
        args.form()
    }

    #[test]
    fn a_name_tells_what_it_becomes_unless_that_is_said() {
        use ExportFormat::{Qcow2, Raw, Tar};
        let (gzip, zstd) = (Some(Packing::Gzip), Some(Packing::Zstd));
        for (line, wanted) in [
            ("./x", (Raw, None)),
            ("./x.raw", (Raw, None)),
            ("./x.tar", (Tar, None)),
            ("./x.TAR.GZ", (Tar, gzip)),
            ("./x.tgz", (Tar, gzip)),
            ("./x.tzst", (Tar, zstd)),
            ("./x.qcow2", (Qcow2, None)),
            ("./x.qcow2.zst", (Qcow2, zstd)),
            ("./x.raw.gz", (Raw, gzip)),
            ("./x.gz", (Raw, gzip)),
            ("./x.tar.xz", (Tar, Some(Packing::Xz))),
            ("./x.tar.gz --compress none", (Tar, None)),
            ("./x.tar.gz --format raw", (Raw, gzip)),
            ("- --format tar --compress zstd", (Tar, zstd)),
            ("-", (Raw, None)),
        ] {
            assert_eq!(form(line), wanted, "{line}");
        }
    }
}
