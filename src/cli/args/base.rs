//! `imgbase base`.

use clap::{ArgGroup, Args};
use imgbase::layout::{BaseName, LayerName};
use imgbase::units::Bytes;

use super::{ImageArgs, Word};

const LONG_ABOUT: &str = "\
Adds, finds, removes and pins bases.

A base is named NAME-VERSION-RELEASE, of at most 55 characters. It is made from an ext4 or XFS file \
system: a file, a block device, or standard input; by itself, or as a partition of a disk image (raw \
or qcow2), and packed by gzip, xz or zstd or not: its content tells. Only what the image uses is \
written, after a check that it fits. A finished base is read-only and inactive.

The files of a tar archive or a squashfs go into an ext4 that mke2fs makes, of the size that they need \
and as much again, at least 1 GiB, unless --size names one; an archive on standard input needs it. Of \
a live medium (a squashfs, one in a squashfs, or an ISO with one) the root file system in LiveOS/rootfs.img is taken, or \
the files in the squashfs. Both are read from a file or a device; an ISO, and a squashfs packed by lzo, lz4 or lzma, \
through the kernel. \
A folder with a system's files is copied as it is, / too: other file systems that are mounted in it are left out, but for /boot.

A file system image shares with an older base: it begins as a snapshot of the newest base of the same \
name (NAME of NAME-VERSION-RELEASE) that is no larger, only chunks that differ are written, and what the \
image leaves empty is discarded. Two versions take one and the difference; either can be removed. \
--no-share writes all of it.

A container's image is taken from an OCI layout: a folder, or a tar archive of one, packed or not, but not \
on standard input. Its layers are put on one another in an ext4 made as for an archive. Of several images \
the one for this machine is taken, or the one that --image-ref names; every digest is checked. With a \
folder, --digest is that of the manifest, or of an index that leads to it. A build with the feature oci \
reads registries too: oci://HOST[:PORT]/NAME[:TAG][@sha256:DIGITS]; what such an image unpacks to is not \
known before it has come, so that --size may have to say it.

Of a disk image the partition is taken whose type says that it is the root, else the only one of \
Linux; --partition names another. With --digest the image must be what was published: nothing stays \
of one that is not. Where keys of minisign's are in /etc/imgbase/keys (NAME.pub), it must be signed by \
one of them: in IMAGE.minisig, or in the file that --signature names.

With --add, a word with a slash, or - alone, is the image, any other the name; the order is free. \
Without an image, standard input is read, unless it is a terminal. Without a name the image is asked for \
its own, in /usr/share/imgbase/build/meta/nvr: a packed file system, standard input and a registry are not.";

const USAGE: &str = "\
imgbase base --add [NVR] [--size SIZE] [IMAGE] [OPTIONS]
       imgbase base --latest | --of-layer LAYER [OPTIONS]
       imgbase base --remove NVR | --pin NVR | --unpin NVR [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase base --add Debian-12-1 ./debian.ext4
  imgbase base --add Debian-12-1 --size 8G /dev/vdb
  imgbase base --add Debian-12-1 ./debian.ext4.zst --digest sha256:9f86d081...
  imgbase base --add Debian-12-1 ./debian.ext4.zst --signature ./debian.minisig
  imgbase base --add Debian-12-1 ./cloud.qcow2 --partition 1
  imgbase base --add Debian-12-1 ./root.tar.zst --size 8G
  imgbase base --add Node-4.5-1 ./node.iso
  imgbase base --add Debian-12-1 ./oci-folder/ --image-ref bookworm
  imgbase base --add Debian-12-1 oci://registry.example/debian:12 --size 8G
  ssh store cat debian.raw.xz | imgbase base --add Debian-12-1 -
  imgbase base --latest
  imgbase base --of-layer Debian-12-1+2
  imgbase base --pin Debian-12-1
  imgbase base --remove Debian-12-1";

/// Add, find, remove and pin bases
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action").required(true)
    .args(["add", "latest", "of_layer", "remove", "pin", "unpin"]))]
#[command(group = ArgGroup::new("how").multiple(true).requires("add").args(["size", "no_share", "partition", "image_ref", "digest", "signature", "words"])
    .conflicts_with_all(["latest", "of_layer", "remove", "pin", "unpin"]))]
pub(crate) struct BaseArgs {
    /// Add a base from an image, and print its name
    #[arg(long, value_name = "NVR", num_args = 0..=1, value_parser = Word::parser())]
    pub(crate) add: Option<Option<Word>>,

    /// Print the base of the highest version
    #[arg(long)]
    pub(crate) latest: bool,

    /// Print the base of this layer
    #[arg(long, value_name = "LAYER")]
    pub(crate) of_layer: Option<LayerName>,

    /// Remove this base and its layers
    #[arg(long, value_name = "NVR")]
    pub(crate) remove: Option<BaseName>,

    /// Never collect this base as garbage
    #[arg(long, value_name = "NVR")]
    pub(crate) pin: Option<BaseName>,

    /// End that
    #[arg(long, value_name = "NVR")]
    pub(crate) unpin: Option<BaseName>,

    /// Virtual size of the new base, at least its file system's, which grows to it, or of the one
    /// that is made for files
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Bytes>,

    /// Write all of it, also what an older base of the same name has
    #[arg(long)]
    pub(crate) no_share: bool,

    #[command(flatten)]
    pub(crate) of: ImageArgs,

    /// The image: a path with a slash, a folder's too, or - for standard input
    #[arg(value_name = "IMAGE", value_parser = Word::parser(), num_args = 0..=2)]
    pub(crate) words: Vec<Word>,
}

impl BaseArgs {
    /// True where it changes something.
    pub(crate) fn changes(&self) -> bool {
        !self.latest && self.of_layer.is_none()
    }
}
