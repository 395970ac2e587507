//! What a base is filled from: a file system that is copied, or files for which one is made.

#[cfg(feature = "pack")]
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::filesystem;
#[cfg(feature = "pack")]
use super::oci;
use super::share::Plan;
use super::transact::Pending;
use super::{ImageRequest, ImageSource, Progress, Watch};
#[cfg(feature = "pack")]
use crate::archive;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4;
#[cfg(feature = "pack")]
use crate::image::oci::{Layers, Wanted};
use crate::image::{self, Control, Image, ImageFile, ImageStream, Source, Target};
use crate::machine::{HeldTree, Machine, Tool};
use crate::tree::{self, Measure, NewTree, Of, Part, Tell};
use crate::units::Bytes;

/// An image that was opened, down to its file system, archive or layers.
pub(super) enum Opened<'m> {
    File(ImageFile),
    Stream(ImageStream),
    /// With what it holds, where it could be read before.
    #[cfg(feature = "pack")]
    Archive(ImageStream, Option<Measure>),
    #[cfg(feature = "pack")]
    Layers(Layers<'m>, Option<Measure>),
    Tree(Tree<'m>, Measure),
}

/// A mounted tree.
pub(super) struct Tree<'m> {
    held: Box<dyn HeldTree + 'm>,
    name: String,
}

/// What was looked at, and can be put on a volume.
pub(super) enum Content<'i> {
    FileSystem(Source<'i>),
    #[cfg(feature = "pack")]
    Archive(&'i mut ImageStream, Option<Measure>),
    #[cfg(feature = "pack")]
    Layers(&'i Layers<'i>, Option<Measure>),
    Tree(&'i Tree<'i>, Measure),
}

impl<'m> Opened<'m> {
    /// Opens an image. An archive in a file, and layers, are read once for what they hold.
    pub(super) fn open(
        machine: &Machine<'m>,
        request: &ImageRequest,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        #[cfg(feature = "pack")]
        if let Some(store) = oci::store(machine, request)? {
            let wanted = Wanted { reference: request.image_ref.as_deref(), digest: request.digest };
            return oci::open(store, &wanted, !oci::is_remote(request), watch);
        }
        if let Some(tree) = folder(machine, request, watch)? {
            return Ok(tree);
        }
        let mut image = bare(machine, request)?;
        // What is read once more, or mounted, is what was opened, whatever has its name by then.
        let file = match &image {
            Image::File(file) => Some(file.clone()),
            _ => None,
        };
        if let (ImageSource::Path(path), Some(file)) = (&request.source, &file)
            && let Some(fs_type) = mountable(&mut image, path, request)?
        {
            digested(image, request)?;
            return open_mounted(machine, file.dev.as_ref(), fs_type, watch);
        }
        match unwrapped(image, request)? {
            Image::File(file) => Ok(Self::File(file)),
            Image::Stream(stream) => Ok(Self::Stream(stream)),
            #[cfg(feature = "pack")]
            Image::Archive(mut stream) => {
                let Some(file) = file else { return Ok(Self::Archive(stream, None)) };
                watch.step("read the archive");
                let measure = measure(&mut stream, watch)?;
                // As a stream, whose digest and signature are looked at as it is unpacked.
                let name = file.dev.name().to_owned();
                let again = Image::Stream(ImageStream::new(name, file.into_reader()));
                match unwrapped(again, request)? {
                    Image::Archive(stream) => Ok(Self::Archive(stream, Some(measure))),
                    _ => Err(Error::new(ErrorKind::Corrupt, "it has become something else")),
                }
            }
            #[cfg(feature = "pack")]
            Image::Layout(store) => {
                // The digest was that of the archive.
                let wanted = Wanted { reference: request.image_ref.as_deref(), digest: None };
                oci::open(store, &wanted, true, watch)
            }
            #[cfg(not(feature = "pack"))]
            Image::Archive(stream) => {
                let why = "this build knows no archives";
                Err(Error::new(ErrorKind::Unsupported, why).at(stream.name))
            }
        }
    }

    /// Looks at it, and for the programs that it needs.
    pub(super) fn content(&mut self, machine: &Machine<'_>) -> Result<Content<'_>> {
        let source = match self {
            Self::File(file) => Source::of_device(file.dev.as_ref(), file.holes.as_ref()),
            Self::Stream(stream) => Source::of_stream(stream),
            #[cfg(feature = "pack")]
            Self::Archive(stream, measure) => {
                machine.tools.require(Tool::Mke2fs).map_err(unchanged)?;
                return Ok(Content::Archive(stream, *measure));
            }
            #[cfg(feature = "pack")]
            Self::Layers(layers, measure) => {
                machine.tools.require(Tool::Mke2fs).map_err(unchanged)?;
                return Ok(Content::Layers(layers, *measure));
            }
            Self::Tree(tree, measure) => {
                machine.tools.require(Tool::Mke2fs).map_err(unchanged)?;
                return Ok(Content::Tree(tree, *measure));
            }
        };
        let source = source.map_err(unchanged)?;
        filesystem::require_tools(machine, source.file_system()).map_err(unchanged)?;
        Ok(Content::FileSystem(source))
    }
}

impl Opened<'_> {
    /// Reads a part of the image's tree; or says why that cannot be known before it is unpacked.
    pub(super) fn read_part(
        &mut self,
        part: &mut Part<'_>,
        watch: &mut dyn Watch,
    ) -> Result<std::result::Result<(), String>> {
        let read = self.read_into(part, watch);
        // What cannot be kept of it is no fault of the image's.
        match (part.beyond(), read) {
            (Some(why), Err(_)) => Ok(Err(why)),
            (_, read) => read,
        }
    }

    fn read_into(
        &mut self,
        part: &mut Part<'_>,
        watch: &mut dyn Watch,
    ) -> Result<std::result::Result<(), String>> {
        let mut tell = |by_now: Measure| progress(watch, by_now, None, Bytes::ZERO);
        match self {
            Self::File(file) => {
                let tree = match ext4::Tree::open(file.dev.as_ref()) {
                    Ok(tree) => tree,
                    Err(error) if error.kind() == ErrorKind::Io => return Err(unchanged(error)),
                    Err(error) => {
                        return Ok(Err(format!("it is not read without a mount: {error}")));
                    }
                };
                let entered = ext4::Entered::default();
                let root = ext4::Plain::root(&tree, &entered).map_err(unchanged)?;
                tree::copy(&root, Of::Image, part, &mut tell).map_err(unchanged)?;
            }
            Self::Stream(_) => return Ok(Err("it is packed, or comes as a stream".into())),
            #[cfg(feature = "pack")]
            Self::Archive(_, None) => return Ok(Err("it comes as a stream".into())),
            #[cfg(feature = "pack")]
            Self::Archive(stream, _) => {
                let most = Bytes::new(u64::MAX);
                let read = archive::unpack(buffered(stream), part, most, &mut tell);
                read.map_err(|error| unchanged(error.at(&stream.name)))?;
                stream.end().map_err(unchanged)?;
            }
            #[cfg(feature = "pack")]
            Self::Layers(_, None) => return Ok(Err("it is in a registry".into())),
            #[cfg(feature = "pack")]
            Self::Layers(layers, _) => {
                layers.unpack(part, Bytes::new(u64::MAX), &mut tell).map_err(unchanged)?;
            }
            Self::Tree(tree, _) => {
                tree.held.pick_from(part, &mut tell).map_err(unchanged)?;
            }
        }
        Ok(Ok(()))
    }
}

/// The image as it was given.
fn bare(machine: &Machine<'_>, request: &ImageRequest) -> Result<Image> {
    Ok(match &request.source {
        ImageSource::Path(path) => Image::File(machine.disks.open_image(path)?),
        ImageSource::Stdin => Image::Stream(ImageStream::new("standard input", std::io::stdin())),
        #[cfg(feature = "pack")]
        ImageSource::Registry(image) => Image::Layout(machine.disks.open_remote(image)?),
    })
}

/// Sees to it that it is what was published, where that is known, or signed.
fn digested(image: Image, request: &ImageRequest) -> Result<Image> {
    let image = match request.digest {
        Some(digest) => image.digested(digest).map_err(unchanged)?,
        None => image,
    };
    match &request.signed {
        Some(signed) => image.signed(signed).map_err(unchanged),
        None => Ok(image),
    }
}

fn unwrapped(image: Image, request: &ImageRequest) -> Result<Image> {
    let image = digested(image, request)?.opened(request.partition.as_deref());
    let image = image.map_err(unchanged)?;
    match &request.image_ref {
        Some(word) if !image.is_layout() => {
            let why = format!("it has no image '{word}': it is no OCI layout");
            Err(unchanged(Error::new(ErrorKind::NotFound, why).at(image.name())))
        }
        _ => Ok(image),
    }
}

/// The tree in a folder, where that is the image.
fn folder<'m>(
    machine: &Machine<'m>,
    request: &ImageRequest,
    watch: &mut dyn Watch,
) -> Result<Option<Opened<'m>>> {
    let ImageSource::Path(path) = &request.source else { return Ok(None) };
    let Some(held) = machine.mounts.hold_folder(path).map_err(unchanged)? else { return Ok(None) };
    let name = path.display().to_string();
    let no = |why: &'static str| {
        Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(path.display())))
    };
    match request {
        ImageRequest { digest: Some(_), .. } | ImageRequest { signed: Some(_), .. } => {
            return no("a folder of files has no bytes that a digest or a signature could be of");
        }
        ImageRequest { partition: Some(_), .. } | ImageRequest { image_ref: Some(_), .. } => {
            return no(
                "it is a folder of files: no partition, and no image of several, can be meant",
            );
        }
        _ => {}
    }
    weighed(held, name, watch).map(Some)
}

fn weighed<'m>(
    held: Box<dyn HeldTree + 'm>,
    name: String,
    watch: &mut dyn Watch,
) -> Result<Opened<'m>> {
    watch.step("look at the files");
    let measure = held.weigh(&mut |_| watch.cancelled()).map_err(unchanged)?;
    Ok(Opened::Tree(Tree { held, name }, measure))
}

/// The file system that only the kernel reads, where the image is one.
fn mountable(
    image: &mut Image,
    path: &Path,
    request: &ImageRequest,
) -> Result<Option<&'static str>> {
    match (image.mountable()?, &request.partition) {
        // What is left of an ISO may stand in front of a disk's partitions.
        (Some(image::ISO), Some(_)) => Ok(None),
        (Some(fs_type), Some(word)) => {
            let why = format!("it has no partition '{word}': it is a file system ({fs_type})");
            Err(unchanged(Error::new(ErrorKind::NotFound, why).at(path.display())))
        }
        (found, _) => Ok(found),
    }
}

impl Content<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::FileSystem(source) => source.name(),
            #[cfg(feature = "pack")]
            Self::Archive(stream, _) => &stream.name,
            #[cfg(feature = "pack")]
            Self::Layers(layers, _) => layers.name(),
            Self::Tree(tree, _) => &tree.name,
        }
    }

    /// As `mount -t` calls the file system that it will be.
    pub(super) fn fs_type(&self) -> &'static str {
        match self {
            Self::FileSystem(source) => source.file_system().fs_type(),
            #[cfg(feature = "pack")]
            Self::Archive(..) | Self::Layers(..) => "ext4",
            Self::Tree(..) => "ext4",
        }
    }

    /// The volume's size: what was asked for where it fits in there, else the file system's, or for
    /// files what they need and as much again.
    pub(super) fn volume_size(&self, asked: Option<Bytes>) -> Result<Bytes> {
        match self {
            Self::FileSystem(source) => {
                let size = asked.unwrap_or(source.size());
                source.check_fits(size).map_err(unchanged)?;
                Ok(size)
            }
            #[cfg(feature = "pack")]
            Self::Archive(stream, Some(measure)) => tree_size(&stream.name, asked, measure),
            #[cfg(feature = "pack")]
            Self::Archive(stream, None) => asked.ok_or_else(|| {
                let why = "how much an archive on a stream holds is not known before its end: give \
                           the volume's size (--size)";
                unchanged(Error::new(ErrorKind::Invalid, why).at(&stream.name))
            }),
            #[cfg(feature = "pack")]
            Self::Layers(layers, measure) => {
                tree_size(layers.name(), asked, &measure.unwrap_or_else(|| oci::guessed(layers)))
            }
            Self::Tree(tree, measure) => tree_size(&tree.name, asked, measure),
        }
    }

    /// How much of a volume with such chunks it will map; little is known of an archive on a stream.
    pub(super) fn space_need(&self, chunk: Bytes) -> Result<Bytes> {
        match self {
            Self::FileSystem(source) => Ok(source.space_need(chunk)?.bytes()),
            #[cfg(feature = "pack")]
            Self::Archive(_, measure) => Ok(measure.as_ref().map_or(MADE, needed)),
            #[cfg(feature = "pack")]
            Self::Layers(layers, None) => Ok(layers.packed_size().saturating_add(MADE)),
            #[cfg(feature = "pack")]
            Self::Layers(_, Some(measure)) => Ok(needed(measure)),
            Self::Tree(_, measure) => Ok(needed(measure)),
        }
    }

    /// True where it is copied as it is, and not made anew.
    pub(super) fn is_copied(&self) -> bool {
        matches!(self, Self::FileSystem(_))
    }

    /// True where it can be read more than once.
    pub(super) fn can_be_read_again(&self) -> bool {
        matches!(self, Self::FileSystem(source) if !source.is_stream())
    }

    /// Puts it on a volume, and makes the file system fit for layers. No more files are taken from a
    /// stream than the pool has room for. Gives how many bytes were written, metadata of a new file
    /// system left out.
    pub(super) fn fill(
        &mut self,
        pending: &Pending<'_>,
        plan: &Plan,
        watch: &mut dyn Watch,
    ) -> Result<Bytes> {
        match self {
            Self::FileSystem(source) => {
                if plan.tight {
                    watch.step("compare the image with the older base");
                    plan.check_fits(differing(pending, source, watch)?)?;
                }
                watch.step("copy the image");
                let written = copy(pending, source, plan.with.is_some(), watch)?;
                watch.step("make the file system ready for layers");
                let grow_to = (plan.size > source.size()).then_some(plan.size);
                let (node, needs) = (&pending.node()?, source.plan().needs);
                let seal = filesystem::Seal { node, needs, grow_to };
                seal.apply(pending.machine(), pending.device(), watch)?;
                Ok(written)
            }
            #[cfg(feature = "pack")]
            Self::Archive(stream, measure) => {
                let most = plan.size.min(plan.free.saturating_sub(MADE));
                unpack(pending, (stream, *measure), most, watch)
            }
            #[cfg(feature = "pack")]
            Self::Layers(layers, measure) => {
                let most = plan.size.min(plan.free.saturating_sub(MADE));
                let made = make_tree(pending, *measure, watch, &mut |tree, tell| {
                    layers.unpack(tree, most, tell)
                })?;
                Ok(made.data)
            }
            Self::Tree(tree, measure) => {
                let copied = make_tree(pending, Some(*measure), watch, &mut |to, tell| {
                    tree.held.copy_to(to, tell)
                })?;
                Ok(copied.data)
            }
        }
    }
}

fn copy(
    pending: &Pending<'_>,
    source: &mut Source<'_>,
    over: bool,
    watch: &mut dyn Watch,
) -> Result<Bytes> {
    let target = target(pending, over)?;
    Ok(watched(watch, |control| source.copy_to(&target, control))?.written)
}

/// How much a copy over what the volume holds would write.
fn differing(
    pending: &Pending<'_>,
    source: &mut Source<'_>,
    watch: &mut dyn Watch,
) -> Result<Bytes> {
    let target = target(pending, true)?;
    let differing = watched(watch, |control| source.measure_over(&target, control))?;
    Ok(differing.unwrap_or(source.size()))
}

fn target<'p>(pending: &'p Pending<'_>, over: bool) -> Result<Target<'p>> {
    let target = Target::new(pending.device(), pending.chunk()?, pending.zeroes_chunks()?)?;
    if over { target.over() } else { Ok(target) }
}

/// Tells how it goes, and stops it where that is asked for.
fn watched<T>(watch: &mut dyn Watch, act: impl FnOnce(Control<'_>) -> Result<T>) -> Result<T> {
    let cancel = AtomicBool::new(watch.cancelled());
    let mut tell = |progress: image::Progress| {
        watch.progress(Progress {
            done: progress.done,
            total: Some(progress.total),
            written: progress.written,
        });
        if watch.cancelled() {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    act(Control { progress: &mut tell, cancel: &cancel })
}

/// What a file system with nothing in it takes: its journal, mostly.
const MADE: Bytes = Bytes::mib(48);

/// No base of a tree is smaller, as long as nobody asks for it.
const LEAST: Bytes = Bytes::gib(1);

/// What files need: data, inodes and their share of folders.
pub(super) fn needed(measure: &Measure) -> Bytes {
    let entries = Bytes::new(measure.entries.saturating_mul(512));
    measure.data.saturating_add(entries).saturating_add(MADE)
}

/// A size that leaves as much free as the files take, or the one that was asked for.
fn tree_size(name: &str, asked: Option<Bytes>, measure: &Measure) -> Result<Bytes> {
    let need = needed(measure);
    let Some(have) = asked else {
        let twice = need.saturating_add(need).max(LEAST);
        return Ok(twice.round_up(Bytes::mib(64)).unwrap_or(twice));
    };
    // Of a large file system its own tables and its journal take a part.
    if need.saturating_add(Bytes::new(have.get() / 16)) <= have {
        return Ok(have);
    }
    let least = Bytes::new(need.get().saturating_mul(16).div_ceil(15));
    let least = least.round_up(Bytes::mib(1)).unwrap_or(least);
    let why = format!(
        "its files need a file system of {least} ({} bytes), and one of {have} ({} bytes) was asked \
         for",
        least.get(),
        have.get()
    );
    Err(unchanged(Error::new(ErrorKind::Invalid, why).at(name)))
}

/// mke2fs makes an inode for so many bytes, unless told otherwise.
const INODE_EACH: u64 = 16 << 10;

/// Makes a file system on a fresh volume, and a tree in it, of which the measure may be known.
fn make_tree(
    pending: &Pending<'_>,
    measure: Option<Measure>,
    watch: &mut dyn Watch,
    make: &mut dyn FnMut(&mut dyn NewTree, Tell<'_>) -> Result<Measure>,
) -> Result<Measure> {
    let (machine, node) = (pending.machine(), pending.node()?);
    let (total, size) = (measure.map(|measure| measure.data), pending.device().size());
    let entries = measure.map_or(0, |measure| measure.entries);
    watch.step("make the file system");
    let inodes = entries.saturating_add(entries / 4).saturating_add(1024);
    filesystem::make_ext4(machine, &node, inodes.max(size.get() / INODE_EACH))?;
    watch.step("copy the files");
    let mut made = Measure::default();
    machine.mounts.make_tree(&node, "ext4", &mut |tree| {
        let tell: Tell<'_> = &mut |by_now: Measure| progress(watch, by_now, total, by_now.data);
        made = make(tree, tell)?;
        Ok(())
    })?;
    // It was made ready for layers.
    let device = pending.device();
    device.sync().context("sync", device.name())?;
    Ok(made)
}

/// Tells how far files have come; true where no more are wanted.
pub(super) fn progress(
    watch: &mut dyn Watch,
    by_now: Measure,
    total: Option<Bytes>,
    written: Bytes,
) -> bool {
    watch.progress(Progress { done: by_now.data, total, written });
    watch.cancelled()
}

/// Mounts what only the kernel reads, and looks where live media have their system.
fn open_mounted<'m>(
    machine: &Machine<'m>,
    dev: &dyn Dev,
    fs_type: &str,
    watch: &mut dyn Watch,
) -> Result<Opened<'m>> {
    let mut name = dev.name().to_owned();
    let mut held = machine.mounts.hold_image(dev, fs_type).map_err(unchanged)?;
    // A squashfs that has none is the system itself; an ISO never is.
    match live_system(held.as_ref()).map_err(unchanged)? {
        Some((place, system)) => (held, name) = (system, format!("{name}: {place}")),
        None if fs_type == image::ISO => {
            let why = format!("it holds no system: none of {} is there", LIVE_SYSTEMS.join(", "));
            return Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(&name)));
        }
        None => {}
    }
    for place in LIVE_IMAGES {
        if let Some(file) = held.image(place).map_err(unchanged)? {
            // It stays readable by its own descriptor.
            return match Image::File(file).opened(None).map_err(unchanged)? {
                Image::File(file) => Ok(Opened::File(file)),
                Image::Stream(stream) | Image::Archive(stream) => {
                    let why = "it is packed twice";
                    Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(stream.name)))
                }
                #[cfg(feature = "pack")]
                Image::Layout(store) => {
                    let why = "it is an OCI layout, and no file system";
                    Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(store.name())))
                }
            };
        }
    }
    weighed(held, name, watch)
}

/// The system that a live medium holds as a squashfs of its own, and where.
fn live_system<'m>(
    medium: &(dyn HeldTree + 'm),
) -> Result<Option<(&'static str, Box<dyn HeldTree>)>> {
    for place in LIVE_SYSTEMS {
        if let Some(system) = medium.hold_inside(place, image::SQUASHFS)? {
            return Ok(Some((place, system)));
        }
    }
    Ok(None)
}

/// Where a live medium has its system: Fedora's and oVirt's, Debian's, Ubuntu's.
const LIVE_SYSTEMS: [&str; 3] =
    ["/LiveOS/squashfs.img", "/live/filesystem.squashfs", "/casper/filesystem.squashfs"];

/// Where a live system has its root file system, if that is one in itself.
const LIVE_IMAGES: [&str; 2] = ["/LiveOS/rootfs.img", "/LiveOS/ext3fs.img"];

/// What an archive holds, and whether it is whole.
#[cfg(feature = "pack")]
fn measure(stream: &mut ImageStream, watch: &mut dyn Watch) -> Result<Measure> {
    let tell: Tell<'_> = &mut |by_now: Measure| progress(watch, by_now, None, Bytes::ZERO);
    let measured = archive::measure(buffered(stream), tell);
    let measured = measured.map_err(|error| unchanged(error.at(&stream.name)))?;
    stream.end().map_err(unchanged)?;
    Ok(measured)
}

#[cfg(feature = "pack")]
fn unpack(
    pending: &Pending<'_>,
    (stream, measure): (&mut ImageStream, Option<Measure>),
    most: Bytes,
    watch: &mut dyn Watch,
) -> Result<Bytes> {
    let made = make_tree(pending, measure, watch, &mut |tree, tell| {
        let unpacked = archive::unpack(buffered(stream), tree, most, tell);
        let unpacked = unpacked.map_err(|error| error.at(&stream.name))?;
        stream.end()?;
        Ok(unpacked)
    })?;
    Ok(made.data)
}

/// An archive is read by blocks of 512 bytes.
#[cfg(feature = "pack")]
fn buffered(stream: &mut ImageStream) -> impl Read + '_ {
    std::io::BufReader::with_capacity(256 << 10, &mut stream.reader)
}

pub(super) fn unchanged(error: Error) -> Error {
    error.op("add the base").kept("nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for after a refusal is what the refusal has named.
    #[test]
    fn the_size_that_a_refusal_names_is_enough() {
        for data in [0, 1, 200 << 20, (200 << 20) + 4095, 3 << 30] {
            let measure = Measure { entries: 7, data: Bytes::new(data) };
            for asked in [Bytes::mib(1), needed(&measure)] {
                let error = tree_size("a tree", Some(asked), &measure).expect_err("too small");
                let error = error.to_string();
                let named = error.split_once(" (").and_then(|(_, rest)| rest.split_once(" bytes"));
                let named = named.and_then(|(bytes, _)| bytes.parse().ok()).map(Bytes::new);
                let named = named.expect("it is named in bytes");
                assert!(named > asked, "{error}");
                assert_eq!(tree_size("a tree", Some(named), &measure).ok(), Some(named), "{error}");
            }
        }
    }
}
