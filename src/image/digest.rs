//! An image's digest, and the ends of streams: only there it shows whether all was right.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::name::BadName;

/// A SHA-256 of an image as it was published: of the file, packed where that is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

const ALGORITHM: &str = "sha256:";

impl FromStr for Digest {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new(text, "digest", "give sha256: and 64 hexadecimal digits");
        let digits = text.strip_prefix(ALGORITHM).filter(|digits| digits.len() == 64);
        let digits = digits.ok_or_else(bad)?.as_bytes();
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(bad)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Digest {
    /// Reads to the end, and fails where the bytes have another digest.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), naming both; those of the reader.
    pub(super) fn check(self, from: impl Read) -> Result<()> {
        let (reader, hash) = Hashing::new(from);
        read_on(reader).map_err(|error| Error::io(error).op("read the image"))?;
        self.compare(&hash)
    }

    fn compare(self, hash: &Mutex<Sha256>) -> Result<()> {
        let has = Self(lock(hash).clone().finalize().into());
        if has == self {
            return Ok(());
        }
        let why = format!("it is not what was published: its digest is {has}, and not {self}");
        Err(Error::new(ErrorKind::Corrupt, why))
    }
}

/// Streams that are read to their end once the image was copied, those inside first; and the
/// digest that the outermost must have.
#[derive(Default)]
pub struct Tails {
    streams: Vec<Shared>,
    digest: Option<(Digest, Arc<Mutex<Sha256>>)>,
}

impl Tails {
    /// The same stream, whose digest is looked at in the end.
    pub(super) fn digested(
        &mut self,
        stream: Box<dyn Read + Send>,
        digest: Digest,
    ) -> Box<dyn Read + Send> {
        let (reader, hash) = Hashing::new(stream);
        self.digest = Some((digest, hash));
        self.kept(Box::new(reader))
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
    /// [`Corrupt`](ErrorKind::Corrupt) where a checksum or the digest does not hold; those of the
    /// readers.
    pub(super) fn end(&mut self) -> Result<()> {
        while let Some(stream) = self.streams.pop() {
            read_on(stream).map_err(super::open::unreadable)?;
        }
        self.digest.take().map_or(Ok(()), |(digest, hash)| digest.compare(&hash))
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

/// A reader with two owners.
#[derive(Clone)]
struct Shared(Arc<Mutex<Box<dyn Read + Send>>>);

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        lock(&self.0).read(buf)
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
