//! SHA-256: of what goes through a reader, and as it is written.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::dev::bytes::each_piece;
use crate::name::BadName;

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of all that a reader gives, and how much that is.
    ///
    /// # Errors
    /// Those of the reader.
    pub(crate) fn read(from: &mut dyn Read) -> io::Result<(Self, u64)> {
        let mut hash = Sha256::new();
        let size = each_piece(from, &mut |bytes| hash.update(bytes))?;
        Ok((Self::end(hash), size))
    }

    /// The digest of what was put in.
    pub(crate) fn end(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }

    /// Its first bytes as two digits each.
    pub(crate) fn hex(&self, bytes: usize) -> String {
        let mut text = self.to_string().split_off(ALGORITHM.len());
        text.truncate(bytes.saturating_mul(2));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert!(text.starts_with("sha256:ba7816bf8f01cfea"), "{text}");
        assert_eq!(text.parse(), Ok(digest));
        for bad in
            ["", "sha256:", &text[1..], &text[..70], &text.replace("ba", "+a"), &format!("{text}0")]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

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
