//! Labels that another policy has given.
//!
//! What is carried over keeps its labels where the image does not have it. Where the image has another
//! policy than the layer they may mean something else by now, or nothing. What came along is then
//! labelled by the image's own `setfiles`; without one the system labels all its files anew when it
//! starts.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::carry::{open_at, read};
use crate::error::{Error, Result};
use crate::tree::Folder;
use crate::tree::place::open_folder;

/// What makes a system label all files anew at its start.
pub(crate) const MARK: &str = ".autorelabel";

/// Where an image has the program that labels files.
const SETFILES: [&str; 3] = ["/usr/sbin/setfiles", "/usr/bin/setfiles", "/sbin/setfiles"];

/// The file of labels of a policy that is in force in the second tree, where it is another one than
/// the first's.
pub(super) fn other_policy<F: Folder>([old, new]: [&F; 2]) -> Result<Option<String>> {
    let ours = contexts(old)?.map(|(_, labels)| labels);
    Ok(contexts(new)?.filter(|(_, labels)| Some(labels) != ours.as_ref()).map(|(path, _)| path))
}

/// The program of a tree that labels files.
pub(super) fn program<F: Folder>(new: &F) -> Result<Option<&'static str>> {
    for path in SETFILES {
        let names: Vec<&str> = path.split('/').skip(1).collect();
        if !read(new, &names)?.is_empty() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Marks a tree, so that its files are labelled anew; false where it was marked.
pub(super) fn mark(new: &Path) -> Result<bool> {
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = open_folder(new, b"").and_then(|root| {
        match openat(&root, OsStr::new(MARK), how, Mode::RUSR | Mode::WUSR) {
            Ok(_) => Ok(true),
            // Whatever has that name.
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(io::Error::from(error)),
        }
    });
    made.map_err(|error| Error::io(error).op("make").at(format_args!("/{MARK}")))
}

/// Marks a tree whose files have no labels for the policy that is in force in it, as those of most
/// archives; true then. Without labels hardly anything would start.
pub(crate) fn mark_unlabelled(new: &Path) -> Result<bool> {
    let tree = open_at(new)?;
    let is_labelled = || tree.folder(b"etc")?.own_xattrs().map(|all| all.contains_key(LABEL));
    if contexts(&tree)?.is_none() {
        return Ok(false);
    }
    match is_labelled() {
        Ok(true) => Ok(false),
        Ok(false) => mark(new),
        Err(error) => Err(Error::io(error).op("look at").at("/etc")),
    }
}

/// The attribute with a file's label.
const LABEL: &[u8] = b"security.selinux";

/// Which labels files have by the policy of a tree, and the file that says so; `None` where none is
/// in force.
fn contexts<F: Folder>(root: &F) -> Result<Option<(String, Vec<u8>)>> {
    let config = read(root, &["etc", "selinux", "config"])?;
    let config = String::from_utf8_lossy(&config);
    let value = |key: &str| {
        let mut values = config.lines().rev().map(str::trim);
        values.find_map(|line| line.strip_prefix(key)).map(str::trim).unwrap_or_default()
    };
    if !matches!(value("SELINUX="), "enforcing" | "permissive") {
        return Ok(None);
    }
    let path = ["etc", "selinux", value("SELINUXTYPE="), "contexts", "files", "file_contexts"];
    let contexts = read(root, &path)?;
    Ok((!contexts.is_empty()).then(|| (format!("/{}", path.join("/")), contexts)))
}
