//! Signatures of images, as minisign makes them: Ed25519 of the image's BLAKE2b digest, and of a
//! comment beside it.

use std::io::Read;
use std::thread::JoinHandle;

use minisign_verify::{Error as Bad, PublicKey, Signature};

use crate::dev::bytes::{PIECES, Pieces, each_piece};
use crate::error::{Error, ErrorKind, Result};
use crate::queue::{Sender, queue};

/// A signature that an image must have, and the keys of which one must have made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    keys: Vec<PublicKey>,
    /// As it stands in its file.
    signature: String,
}

/// A public key, as it stands in its file: base64, with or without the comment before it.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) where it is none.
pub fn public_key(text: &str) -> Result<PublicKey> {
    let key = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let key = key.filter(|key| key.len() == KEY_LEN).map(PublicKey::from_base64);
    key.and_then(std::result::Result::ok)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, "it is no public key of minisign's"))
}

/// A key has 42 bytes.
const KEY_LEN: usize = 56;

impl Signed {
    /// By one of these keys.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where it is no signature,
    /// [`Denied`](ErrorKind::Denied) where none of the keys made it,
    /// [`Unsupported`](ErrorKind::Unsupported) for one that would need the whole image in memory.
    pub fn new(keys: Vec<PublicKey>, signature: &str) -> Result<Self> {
        let signed = Self { keys, signature: signature.to_owned() };
        signed.key()?;
        Ok(signed)
    }

    /// The key that made it.
    fn key(&self) -> Result<(&PublicKey, Signature)> {
        let signature = Signature::decode(&self.signature)
            .map_err(|_| Error::new(ErrorKind::Invalid, "it is no signature of minisign's"))?;
        for key in &self.keys {
            match key.verify_stream(&signature) {
                Ok(_) => return Ok((key, signature)),
                Err(Bad::UnsupportedLegacyMode) => {
                    let why = "it was made with -l: leave that out";
                    return Err(Error::new(ErrorKind::Unsupported, why));
                }
                Err(_) => {}
            }
        }
        let why = "it was made with none of the keys that are trusted";
        Err(Error::new(ErrorKind::Denied, why))
    }

    /// Reads to the end, and fails where that is not what was signed.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); those of the reader.
    pub(super) fn check(&self, mut from: impl Read) -> Result<()> {
        let (key, signature) = self.key()?;
        let mut verifier = key.verify_stream(&signature).map_err(|_| forged())?;
        let read = each_piece(&mut from, &mut |bytes| verifier.update(bytes));
        read.map_err(|error| Error::io(error).op("read the image"))?;
        verifier.finalize().map_err(|_| forged())
    }

    /// The same of a stream that somebody else reads: on a thread of its own.
    pub(super) fn follow(&self) -> Follower {
        let (send, pieces) = queue::<Vec<u8>>(PIECES);
        let signed = self.clone();
        let thread = std::thread::spawn(move || signed.check(Pieces::of(pieces.map(Ok))));
        Follower { send: Some(send), thread: Some(thread) }
    }
}

fn forged() -> Error {
    let why = "it is not what was signed: its signature does not hold";
    Error::new(ErrorKind::Corrupt, why)
}

/// Checks what a stream gave.
pub(super) struct Follower {
    send: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Follower {
    /// The stream's next bytes.
    pub(super) fn update(&self, bytes: &[u8]) {
        // Where the thread has ended, its verdict is out.
        let _ = self.send.as_ref().map(|send| send.send(bytes.to_vec()));
    }

    /// The stream's end.
    ///
    /// # Errors
    /// As [`Signed::check`].
    pub(super) fn end(&mut self) -> Result<()> {
        self.send = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(forged()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with minisign 0.11 of the four bytes `test`; the key has no password.
    const KEY: &str = include_str!("../../tests/data/minisign/key.pub");
    const SIGNATURE: &str = include_str!("../../tests/data/minisign/test.minisig");
    const OTHER: &str = include_str!("../../tests/data/minisign/other.pub");
    const LEGACY: &str = include_str!("../../tests/data/minisign/legacy.minisig");

    fn keys(texts: &[&str]) -> Vec<PublicKey> {
        texts.iter().map(|text| public_key(text).expect("a key")).collect()
    }

    #[test]
    fn what_was_signed_is_taken_and_nothing_else() {
        let signed = Signed::new(keys(&[OTHER, KEY]), SIGNATURE).expect("one of them made it");
        signed.check(&b"test"[..]).expect("it was signed");
        for bytes in [&b""[..], b"tesT", b"test\n"] {
            let error = signed.check(bytes).expect_err("it was not");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let mut follower = signed.follow();
            bytes.chunks(1).for_each(|byte| follower.update(byte));
            assert_eq!(follower.end().expect_err("it was not").kind(), ErrorKind::Corrupt);
        }
        let mut follower = signed.follow();
        [&b"te"[..], b"", b"st"].into_iter().for_each(|piece| follower.update(piece));
        follower.end().expect("the same in pieces");
    }

    #[test]
    fn what_is_no_signature_of_ours_is_refused() {
        let kind = |keys, text: &str| Signed::new(keys, text).map_err(|error| error.kind());
        assert_eq!(kind(keys(&[OTHER]), SIGNATURE), Err(ErrorKind::Denied));
        assert_eq!(kind(Vec::new(), SIGNATURE), Err(ErrorKind::Denied));
        assert_eq!(kind(keys(&[KEY]), LEGACY), Err(ErrorKind::Unsupported));
        let cut = SIGNATURE.get(..SIGNATURE.len() - 30).expect("it is long");
        for bad in ["", "x", "a\nb\nc\nd", cut] {
            assert_eq!(kind(keys(&[KEY]), bad), Err(ErrorKind::Invalid), "{bad}");
        }
        // The comment is signed too.
        let other = SIGNATURE.replace("file:test", "file:tess");
        let signed = Signed::new(keys(&[KEY]), &other).expect("of the right form");
        assert_eq!(signed.check(&b"test"[..]).expect_err("changed").kind(), ErrorKind::Corrupt);
        for bad in ["", "untrusted comment: x", "RWQ", &KEY.replace("RW", "RX")] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }
}
