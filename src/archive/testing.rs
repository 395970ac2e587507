//! Archives made by hand, and a tree in memory.

use std::collections::BTreeMap;
use std::io;

use tar::{EntryType, Header};

use super::BLOCK;
use crate::tree::{Making, Meta, NewTree, TreePath, Xattrs};

pub(crate) fn header(name: &str, sort: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(sort);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

pub(crate) fn entry(name: &str, sort: EntryType, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, sort, content.len() as u64).as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Files with these contents, a slash at the end for a folder, and the end.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let file = |(name, content): &(&str, &str)| entry(name, EntryType::Regular, content.as_bytes());
    files.iter().flat_map(file).chain(END).collect()
}

/// What stands at each path: a content, or `None` for a folder.
#[derive(Default)]
pub(crate) struct MemTree(BTreeMap<String, Option<Vec<u8>>>);

impl MemTree {
    /// `path=content` for files, `path/` for folders.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(path, content): (&String, &Option<Vec<u8>>)| match content {
            Some(content) => format!("{path}={}", String::from_utf8_lossy(content)),
            None => format!("{path}/"),
        };
        self.0.iter().map(line).collect()
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        for (at, _) in path.match_indices('/').skip(1) {
            match self.0.entry(path[..at].to_owned()).or_default() {
                None => {}
                Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            }
        }
        Ok(())
    }
}

impl NewTree for MemTree {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        _xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        let path = path.to_string();
        self.parents(&path)?;
        let mut content = Vec::new();
        match making {
            Making::File(from) => drop(from.read_to_end(&mut content)?),
            Making::Link(target) => content = target.to_vec(),
            Making::Other => {}
        }
        let is_folder = meta.kind == crate::tree::Kind::Folder;
        let inside = format!("{path}/");
        let is_full = self.0.keys().any(|other| other.starts_with(&inside));
        if is_full && !is_folder {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.0.insert(path, (!is_folder).then_some(content));
        Ok(())
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        let content = self.0.get(&first.to_string()).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.parents(&path.to_string())?;
        self.0.insert(path.to_string(), content);
        Ok(())
    }

    fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        let path = path.to_string();
        let inside = format!("{}/", path.trim_end_matches('/'));
        self.0.retain(|other, _| {
            let gone = *other == path || other.starts_with(&inside);
            !gone || keep(&TreePath::from_text(other).expect("a path"))
        });
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
