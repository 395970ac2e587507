//! Images of containers (OCI): an index names images, an image its layers, each by its digest.
//!
//! Sources: the OCI image specification 1.1; "Image Layout" for what lies in a folder or an archive.
//! Whatever is read is checked against the digest and the size that lead to it.

mod archived;
mod json;
mod layout;
mod media;
mod pick;
mod reference;

#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read};

pub(super) use archived::find;
pub use layout::{Files, Layout};
pub use reference::{Reference, SCHEME, is_local};

use self::json::{Config, Descriptor, MOST, Manifest};
use self::media::Document;
use super::open::{AT_ONCE, ImageStream, unreadable};
use crate::archive::{self, Stack};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Packing;
use crate::tree::{Measure, NewTree, Tell};
use crate::units::Bytes;

/// So many indices one in the other; they cannot go in circles, as each has the digest of the next.
const DEPTH_MOST: usize = 4;

/// What a part of an image is: registries keep both apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An index or a manifest.
    Manifest,
    /// A configuration or a layer.
    Blob,
}

/// Where the parts of images are. Nothing that it gives is believed.
pub trait Store: Send + Sync {
    /// What to call it.
    fn name(&self) -> &str;

    /// The index that leads to all others.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Io`](ErrorKind::Io).
    fn index(&self) -> Result<Box<dyn Read + Send>>;

    /// The part with that digest, from its start.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Io`](ErrorKind::Io).
    fn part(&self, digest: &Digest, part: Part) -> Result<Box<dyn Read + Send>>;
}

/// Which of several images is meant; without a word the one for this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'w> {
    /// Its name, as the index has it.
    pub reference: Option<&'w str>,
    /// The digest that it must have, or an index that leads to it.
    pub digest: Option<Digest>,
}

/// A layer, and what it must be.
struct Layer {
    digest: Digest,
    size: u64,
    packing: Option<Packing>,
    /// Its digest when it is unpacked.
    unpacked: Digest,
}

/// An image of layers, of which the documents were read.
pub struct Layers<'s> {
    name: String,
    store: Box<dyn Store + 's>,
    layers: Vec<Layer>,
}

impl<'s> Layers<'s> {
    /// Looks for the image that is meant.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) or [`Invalid`](ErrorKind::Invalid) where none, or several,
    /// are; [`Corrupt`](ErrorKind::Corrupt) where a digest or a form does not hold,
    /// [`Unsupported`](ErrorKind::Unsupported) for what is no image for this machine,
    /// [`Io`](ErrorKind::Io).
    pub fn open(store: Box<dyn Store + 's>, wanted: &Wanted<'_>) -> Result<Self> {
        let name = store.name().to_owned();
        let layers = layers(store.as_ref(), wanted);
        Ok(Self { layers: layers.map_err(|error| error.at(&name))?, name, store })
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What all its layers take, packed as they are.
    pub fn packed_size(&self) -> Bytes {
        self.layers
            .iter()
            .fold(Bytes::ZERO, |sum, layer| sum.saturating_add(Bytes::new(layer.size)))
    }

    /// Reads all layers to their ends; gives what they hold, what one takes away of another counted
    /// too.
    ///
    /// # Errors
    /// As [`archive::measure`](archive::measure()), and [`Corrupt`](ErrorKind::Corrupt) where a digest
    /// does not hold.
    pub fn measure(&self, tell: Tell<'_>) -> Result<Measure> {
        let mut measure = Measure::default();
        self.each(&mut |layer| {
            measure = archive::measure_layer(layer, measure, tell)?;
            Ok(())
        })?;
        Ok(measure)
    }

    /// Makes its tree, of `most` bytes of files.
    ///
    /// # Errors
    /// As [`archive::unpack`](archive::unpack()), and [`Corrupt`](ErrorKind::Corrupt) where a digest
    /// does not hold. What the tree then holds is of no use.
    pub fn unpack(&self, tree: &mut dyn NewTree, most: Bytes, tell: Tell<'_>) -> Result<Measure> {
        let mut stack = Stack::new(tree, most);
        self.each(&mut |layer| stack.add(layer, tell))?;
        stack.finish()
    }

    fn each(&self, with: &mut dyn FnMut(&mut dyn Read) -> Result<()>) -> Result<()> {
        for (n, layer) in (1..).zip(&self.layers) {
            let name = format!("{}: layer {n} ({})", self.name, layer.digest);
            let mut read = || {
                let mut stream = layer.open(self.store.as_ref(), &name)?;
                with(&mut BufReader::with_capacity(AT_ONCE / 4, &mut stream.reader))?;
                stream.end()
            };
            read().map_err(|error| error.at(&name))?;
        }
        Ok(())
    }
}

impl Layer {
    fn of(descriptor: &Descriptor, unpacked: &str) -> Result<Self> {
        let packing = media::packing_of(&descriptor.media_type)?;
        let unpacked = unpacked.parse().map_err(|_| {
            let why = format!("'{}' is no SHA-256 of a layer", shown(unpacked));
            Error::new(ErrorKind::Unsupported, why)
        })?;
        Ok(Self { digest: descriptor.digest()?, size: descriptor.size, packing, unpacked })
    }

    /// It as it is unpacked. At its end it shows whether it was what it is called.
    fn open(&self, store: &dyn Store, name: &str) -> Result<ImageStream> {
        let packed = Exactly { inner: store.part(&self.digest, Part::Blob)?, left: self.size };
        let mut stream = ImageStream::new(name, packed).digested(self.digest);
        let mut head = Vec::new();
        Read::take(&mut stream.reader, 6).read_to_end(&mut head).map_err(unreadable)?;
        let has = Packing::of(&head);
        stream.reader = Box::new(io::Cursor::new(head).chain(stream.reader));
        if has != self.packing {
            let word = |packing: Option<Packing>| packing.map_or("not packed", Packing::word);
            let (says, has) = (word(self.packing), word(has));
            let why = format!("by its media type it is {says}, by its content {has}");
            return Err(Error::new(ErrorKind::Corrupt, why));
        }
        Ok(match self.packing {
            Some(packing) => stream.unpacked(packing)?.digested(self.unpacked),
            None if self.unpacked == self.digest => stream,
            None => stream.digested(self.unpacked),
        })
    }
}

/// The layers of the image that is meant.
fn layers(store: &dyn Store, wanted: &Wanted<'_>) -> Result<Vec<Layer>> {
    let manifest = manifest(store, wanted)?;
    media::check_config(&manifest.config.media_type)?;
    let config = Config::read(&document(store, &manifest.config, Part::Blob)?)?;
    let Config { platform, unpacked } = &config;
    if unpacked.len() != manifest.layers.len() {
        let (some, others) = (manifest.layers.len(), unpacked.len());
        let why = format!("it has {some} layers, but its configuration knows {others}");
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    if manifest.layers.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, "it is an image without a layer"));
    }
    let layers = manifest.layers.iter().zip(unpacked);
    let layers =
        layers.map(|(layer, unpacked)| Layer::of(layer, unpacked)).collect::<Result<_>>()?;
    if platform.fits() {
        return Ok(layers);
    }
    let (is, here) = (shown(&platform.to_string()), pick::this_machine());
    let why = format!("it is an image for {is}, and this machine is {here}");
    Err(Error::new(ErrorKind::Unsupported, why))
}

/// From index to index down to the image that is meant.
fn manifest(store: &dyn Store, wanted: &Wanted<'_>) -> Result<Manifest> {
    let (mut index, _) = limited(store.index()?)?;
    let (mut wanted, mut passed) = (*wanted, Vec::new());
    for _ in 0..DEPTH_MOST {
        let listed = json::index(&index)?;
        let chosen = pick::choose(&listed, &wanted)?;
        let bytes = document(store, chosen, Part::Manifest)?;
        passed.push(chosen.digest()?);
        match Document::of(&chosen.media_type)? {
            Document::Index => index = bytes,
            Document::Manifest => {
                check_passed(&passed, wanted.digest)?;
                return Manifest::read(&bytes);
            }
        }
        wanted.reference = None;
    }
    let why = format!("more than {DEPTH_MOST} indices, one in the other");
    Err(Error::new(ErrorKind::Unsupported, why))
}

fn check_passed(passed: &[Digest], wanted: Option<Digest>) -> Result<()> {
    let (Some(wanted), Some(has)) = (wanted, passed.last()) else { return Ok(()) };
    if passed.contains(&wanted) {
        return Ok(());
    }
    let why =
        format!("it is not what was published: its manifest's digest is {has}, and not {wanted}");
    Err(Error::new(ErrorKind::Corrupt, why))
}

/// A document, checked.
fn document(store: &dyn Store, descriptor: &Descriptor, part: Part) -> Result<Vec<u8>> {
    let digest = descriptor.digest()?;
    let read = || {
        let (bytes, len) = limited(store.part(&digest, part)?)?;
        let has = Digest::of(&bytes);
        if (len, has) == (descriptor.size, digest) {
            return Ok(bytes);
        }
        let size = descriptor.size;
        let why = format!("it has {len} bytes and the digest {has}, where {size} were said");
        Err(Error::new(ErrorKind::Corrupt, why))
    };
    read().map_err(|error: Error| error.at(format_args!("{}: {digest}", store.name())))
}

/// All bytes of a document, and how many they are.
fn limited(from: Box<dyn Read + Send>) -> Result<(Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let read = from.take(MOST.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    let len = u64::try_from(read).unwrap_or(u64::MAX);
    if len <= MOST {
        return Ok((bytes, len));
    }
    let why = format!("a document of more than {MOST} bytes");
    Err(Error::new(ErrorKind::Unsupported, why))
}

/// What comes must have the size that was told.
struct Exactly {
    inner: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        let len = u64::try_from(read).unwrap_or(u64::MAX);
        let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        match self.left.checked_sub(len) {
            None => wrong("it has more bytes than the image says"),
            Some(left) if read == 0 && left > 0 && !buf.is_empty() => {
                wrong("it has fewer bytes than the image says")
            }
            Some(left) => {
                self.left = left;
                Ok(read)
            }
        }
    }
}

/// Somebody else's word, fit for a message.
fn shown(word: &str) -> String {
    word.chars().take(100).collect::<String>().escape_debug().to_string()
}
