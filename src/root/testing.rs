//! A tree in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::{Access, RootFiles};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// Files by path.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        Self(files.iter().map(own).collect())
    }
}

impl RootFiles for Files {
    fn read(&self, path: &str, most: Bytes) -> Result<Option<Vec<u8>>> {
        let bytes = self.0.get(path).cloned();
        match &bytes {
            Some(long) if Bytes::new(long.len() as u64) > most => {
                Err(Error::new(ErrorKind::Unsupported, "it is too long").at(path))
            }
            _ => Ok(bytes),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let inside = format!("{}/", folder.trim_end_matches('/'));
        let names = self.0.keys().filter_map(|path| path.strip_prefix(&inside));
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        Ok(names.map(first).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>> {
        let file = self.0.get(path);
        Ok(file.map(|bytes| -> (Box<dyn Read + '_>, Bytes) {
            (Box::new(bytes.as_slice()), Bytes::new(bytes.len() as u64))
        }))
    }

    /// A script may be run by all; what says so may be changed by all too.
    fn access(&self, path: &str) -> Result<Option<Access>> {
        let mode = |text: &Vec<u8>| match text.as_slice() {
            b"#!/of/all" => 0o777,
            [b'#', b'!', ..] => 0o755,
            _ => 0o644,
        };
        Ok(self.0.get(path).map(|text| Access { uid: 0, mode: mode(text) }))
    }
}
