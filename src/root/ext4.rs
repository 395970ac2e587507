//! A tree read from its device, without a mount.

use std::io::Read;

use super::{Access, RootFiles};
use crate::error::Result;
use crate::ext4::Tree;
use crate::tree::Kind;
use crate::units::Bytes;

impl RootFiles for Tree<'_> {
    fn read(&self, path: &str, most: Bytes) -> Result<Option<Vec<u8>>> {
        match self.find(path)? {
            Some(inode) if inode.kind() == Kind::File => self.read_file(path, most),
            _ => Ok(None),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let names = Tree::list(self, folder)?.unwrap_or_default();
        Ok(names.into_iter().filter_map(|name| String::from_utf8(name.name).ok()).collect())
    }

    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>> {
        let file = self.find(path)?.filter(|inode| inode.kind() == Kind::File);
        let Some(inode) = file else { return Ok(None) };
        let content = self.content(&inode)?;
        let size = content.size();
        Ok(Some((Box::new(content), size)))
    }

    fn access(&self, path: &str) -> Result<Option<Access>> {
        let file = self.find(path)?.filter(|inode| inode.kind() == Kind::File);
        let meta = file.map(|inode| inode.meta());
        Ok(meta.map(|meta| Access { uid: meta.uid, mode: meta.mode }))
    }

    fn has(&self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some_and(|inode| inode.kind() == Kind::File))
    }
}
