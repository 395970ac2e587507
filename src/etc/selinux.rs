//! Labels that another policy has given.
//!
//! What is carried over keeps its labels where the image does not have it. Where the image has another
//! policy than the layer they may mean something else by now, or nothing: the system then labels its
//! files anew when it starts.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::carry::read;
use crate::error::{Error, Result};
use crate::tree::Folder;
use crate::tree::place::open_folder;

/// What makes a system label all files anew at its start.
const MARK: &str = ".autorelabel";

/// Whether the second tree has a policy in force that is another one than the first's.
pub(super) fn is_another_policy<F: Folder>([old, new]: [&F; 2]) -> Result<bool> {
    let theirs = contexts(new)?;
    Ok(theirs.is_some() && theirs != contexts(old)?)
}

/// Marks a tree, so that its files are labelled anew.
pub(super) fn mark(new: &Path) -> Result<()> {
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = open_folder(new, b"").and_then(|root| {
        match openat(&root, OsStr::new(MARK), how, Mode::RUSR | Mode::WUSR) {
            // Something of that name does it too.
            Ok(_) | Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        }
    });
    made.map_err(|error| Error::io(error).op("make").at(format_args!("/{MARK}")))
}

/// Which labels files have by the policy of a tree; `None` where none is in force.
fn contexts<F: Folder>(root: &F) -> Result<Option<Vec<u8>>> {
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
    Ok((!contexts.is_empty()).then_some(contexts))
}
