//! The ends of streams: only there it shows whether all was right.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::signed::{Follower, Signed};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::lock;

/// Reads to the end, and fails where the bytes have another digest than what was published has.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt), naming both; those of the reader.
pub(super) fn check(wanted: Digest, mut from: impl Read) -> Result<()> {
    let (has, _) =
        Digest::read(&mut from).map_err(|error| Error::io(error).op("read the image"))?;
    compare(wanted, has)
}

fn compare(wanted: Digest, has: Digest) -> Result<()> {
    if has == wanted {
        return Ok(());
    }
    let why = format!("it is not what was published: its digest is {has}, and not {wanted}");
    Err(Error::new(ErrorKind::Corrupt, why))
}

/// Streams that are read to their end once the image was copied, those inside first; and the
/// digests that some must have, the outermost first, as it has a signature.
#[derive(Default)]
pub struct Tails {
    streams: Vec<Shared>,
    digests: Vec<(Digest, Arc<Mutex<Sha256>>)>,
    signature: Option<Arc<Mutex<Follower>>>,
}

impl Tails {
    /// The same stream, whose digest is looked at in the end.
    pub(super) fn digested(
        &mut self,
        stream: Box<dyn Read + Send>,
        digest: Digest,
    ) -> Box<dyn Read + Send> {
        let (reader, hash) = Hashing::new(stream);
        self.digests.push((digest, hash));
        self.kept(Box::new(reader))
    }

    /// The same stream, whose signature is looked at in the end.
    pub(super) fn signed(
        &mut self,
        stream: Box<dyn Read + Send>,
        signed: &Signed,
    ) -> Box<dyn Read + Send> {
        let follower = Arc::new(Mutex::new(signed.follow()));
        self.signature = Some(Arc::clone(&follower));
        self.kept(Box::new(Followed { inner: stream, follower }))
    }

    /// The same stream, which will be read to its end.
    pub(super) fn kept(&mut self, stream: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let shared = Shared(Arc::new(Mutex::new(stream)));
        self.streams.push(shared.clone());
        Box::new(shared)
    }

    /// Reads all of them to their ends.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where a checksum, the digest or the signature does not hold;
    /// those of the readers.
    pub(super) fn end(&mut self) -> Result<()> {
        while let Some(stream) = self.streams.pop() {
            read_on(stream).map_err(super::open::unreadable)?;
        }
        self.digests.drain(..).try_for_each(|(digest, hash)| {
            let hash = lock(&hash).clone();
            compare(digest, Digest::end(hash))
        })?;
        self.signature.take().map_or(Ok(()), |follower| lock(&follower).end())
    }
}

fn read_on(mut stream: impl Read) -> io::Result<u64> {
    io::copy(&mut stream, &mut io::sink())
}

/// Digests what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Arc<Mutex<Sha256>>,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> (Self, Arc<Mutex<Sha256>>) {
        let hash = Arc::new(Mutex::new(Sha256::new()));
        (Self { inner, hash: Arc::clone(&hash) }, hash)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        lock(&self.hash).update(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// Hands on what is read through it.
struct Followed {
    inner: Box<dyn Read + Send>,
    follower: Arc<Mutex<Follower>>,
}

impl Read for Followed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        lock(&self.follower).update(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// A reader with two owners.
#[derive(Clone)]
struct Shared(Arc<Mutex<Box<dyn Read + Send>>>);

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        lock(&self.0).read(buf)
    }
}
