//! The keys of those whose images this host takes, and the signatures beside images.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::image::{PublicKey, Signed, public_key};
use crate::ops::ImageSource;
use crate::order;

/// Where they are: each a file `NAME.pub` as minisign writes it.
pub const KEYS: &str = "/etc/imgbase/keys";

/// No key and no signature is longer.
const MOST: u64 = 4 << 10;

/// The signature that an image needs: that in `file`, else the one beside it in `IMAGE.minisig`. `None`
/// where no key is configured and none was named.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a key or signature that is none, or a signature without a key;
/// [`NotFound`](ErrorKind::NotFound) where there has to be a signature and is none;
/// [`Denied`](ErrorKind::Denied) where no key of ours made it; [`Io`](ErrorKind::Io).
pub fn signature_of(image: &ImageSource, file: Option<&Path>) -> Result<Option<Signed>> {
    signature_by(Path::new(KEYS), image, file)
}

fn signature_by(keys: &Path, image: &ImageSource, file: Option<&Path>) -> Result<Option<Signed>> {
    let trusted = trusted(keys)?;
    let file = match (file, image) {
        (Some(_), _) if trusted.is_empty() => {
            let why =
                "it cannot be checked without a key of who made it: put that here, as NAME.pub";
            return Err(needs(ErrorKind::NotFound, why, keys));
        }
        (None, _) if trusted.is_empty() => return Ok(None),
        (Some(file), _) => file.to_owned(),
        (None, ImageSource::Path(path)) => beside(path),
        (None, _) => {
            let why =
                "with keys in there an image must be signed: name the signature (--signature)";
            return Err(needs(ErrorKind::NotFound, why, keys));
        }
    };
    let text = match read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!(
                "it is not there, and with keys in {} an image must be signed: name the signature \
                 (--signature)",
                keys.display()
            );
            return Err(needs(ErrorKind::NotFound, why, &file));
        }
        text => text.context("read the signature", file.display().to_string())?,
    };
    let signed = Signed::new(trusted, &text);
    Ok(Some(signed.map_err(|error| error.at(file.display()).kept(UNCHANGED))?))
}

const UNCHANGED: &str = "nothing was changed";

fn needs(kind: ErrorKind, why: impl Into<String>, at: &Path) -> Error {
    let error = Error::new(kind, why.into()).op("check the image's signature");
    error.at(at.display()).kept(UNCHANGED)
}

/// What minisign calls the signature of a file.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

fn trusted(folder: &Path) -> Result<Vec<PublicKey>> {
    let shown = || folder.display().to_string();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read the keys", shown())?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.context("read the keys", shown())?.path();
        if path.extension() == Some(OsStr::new("pub")) {
            paths.push(path);
        }
    }
    order::sort(&mut paths);
    let key = |path: &PathBuf| {
        let text = read(path).context("read a key", path.display().to_string())?;
        public_key(&text).map_err(|error| error.at(path.display()).kept(UNCHANGED))
    };
    paths.iter().map(key).collect()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../../tests/data/minisign/key.pub");
    const SIGNATURE: &str = include_str!("../../tests/data/minisign/test.minisig");

    #[test]
    fn with_a_key_an_image_must_be_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (keys, image) = (folder.path().join("keys"), folder.path().join("image"));
        let path = ImageSource::Path(image.clone());
        let kind = |source: &ImageSource, file: Option<&Path>| {
            signature_by(&keys, source, file)
                .map(|signed| signed.is_some())
                .map_err(|error| error.kind())
        };
        assert_eq!(kind(&path, None), Ok(false));
        let other = folder.path().join("other");
        fs::write(&other, SIGNATURE).expect("writes");
        assert_eq!(kind(&path, Some(&other)), Err(ErrorKind::NotFound), "by whom?");
        fs::create_dir(&keys).expect("makes");
        fs::write(keys.join("README"), "no key").expect("writes");
        assert_eq!(kind(&path, None), Ok(false));
        fs::write(keys.join("a.pub"), KEY).expect("writes");
        assert_eq!(kind(&path, None), Err(ErrorKind::NotFound));
        assert_eq!(kind(&ImageSource::Stdin, None), Err(ErrorKind::NotFound));
        assert_eq!(kind(&ImageSource::Stdin, Some(&other)), Ok(true));
        fs::write(beside(&image), SIGNATURE).expect("writes");
        assert_eq!(kind(&path, None), Ok(true));
        fs::write(keys.join("b.pub"), "no key").expect("writes");
        let error = signature_by(&keys, &path, None).expect_err("one is none");
        assert!(error.to_string().contains("b.pub"), "{error}");
    }
}
