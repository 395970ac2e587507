//! SHA-256 of what goes through a reader.

use std::fmt::Write;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Of some bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of all that a reader gives, and how much that is.
    pub(super) fn read(from: &mut dyn Read) -> io::Result<(Self, u64)> {
        let (mut hash, mut size, mut buf) = (Sha256::new(), 0u64, vec![0; 128 << 10]);
        loop {
            let read = match from.read(&mut buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let bytes = buf.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok((Self(hash.finalize().into()), size));
            }
            hash.update(bytes);
            size = size.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }

    /// Its first bytes as two digits each.
    pub(super) fn hex(&self, bytes: usize) -> String {
        let mut text = String::new();
        for byte in self.0.iter().take(bytes) {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let digest = Digest::of(b"abc");
        assert_eq!(digest.hex(8), "ba7816bf8f01cfea");
        assert_eq!(digest.hex(32).len(), 64);
        let mut long = io::Cursor::new(b"abc").chain(io::repeat(b'x').take(300_000));
        assert_eq!(Digest::read(&mut long).expect("memory").1, 300_003);
        assert_eq!(Digest::read(&mut b"abc".as_slice()).expect("memory"), (digest, 3));
    }
}
