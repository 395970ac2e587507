//! Files of the boot folder that are there whole or not at all: made once, and never put in another's
//! place.

use std::io::Read;

use super::folder::{BootFolder, BootPath, Kind};
use crate::error::{Error, ErrorKind, Result};

/// What a file is called while it is being written. No loader reads a name with a dot in front.
const TEMPORARY: (&str, &str) = (".", ".imgbase-new");

/// The name that a file has until it is whole.
fn temporary(file: &BootPath) -> Result<BootPath> {
    let name = format!("{}{}{}", TEMPORARY.0, file.name(), TEMPORARY.1);
    Ok(file.parent().join(&name)?)
}

/// True for the name of a file that was never finished.
pub(super) fn is_temporary(name: &str) -> bool {
    let rest = name.strip_prefix(TEMPORARY.0).and_then(|rest| rest.strip_suffix(TEMPORARY.1));
    rest.is_some_and(|rest| !rest.is_empty())
}

/// Makes a file that is not there yet.
///
/// # Errors
/// [`Exists`](ErrorKind::Exists); what the folder gives. The file is then not there, but where the
/// last sync failed it may be.
///
/// # Commit point
/// The rename; it is durable when this returns.
pub(super) fn create(folder: &dyn BootFolder, file: &BootPath, from: &mut dyn Read) -> Result<()> {
    if folder.look(file)?.is_some() {
        let error = Error::new(ErrorKind::Exists, "there is such a file already");
        return Err(error.op("make a boot file").at(shown(folder, file)));
    }
    let new = temporary(file)?;
    if folder.look(&new)?.is_some() {
        folder.remove(&new)?;
    }
    let written = folder.write_new(&new, from).and_then(|()| folder.rename(&new, file));
    if let Err(error) = written {
        // The name says what it is: it is removed at the latest when this is tried again.
        let _ = folder.remove(&new);
        return Err(error);
    }
    folder.sync(&file.parent())
}

/// Removes a file or an empty folder, durably; nothing where it is gone already.
///
/// # Errors
/// What the folder gives.
pub(super) fn remove(folder: &dyn BootFolder, path: &BootPath) -> Result<()> {
    if unlink(folder, path)? { folder.sync(&path.parent()) } else { Ok(()) }
}

/// The same before it is durable. Tells whether it was there.
///
/// # Errors
/// What the folder gives.
pub(super) fn unlink(folder: &dyn BootFolder, path: &BootPath) -> Result<bool> {
    match folder.remove(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Makes a folder and those above it, durably. Tells whether it was not there.
///
/// # Errors
/// What the folder gives; [`Exists`](ErrorKind::Exists) where a file stands in the way.
pub(super) fn make_folder(folder: &dyn BootFolder, path: &BootPath) -> Result<bool> {
    if path.is_root() {
        return Ok(false);
    }
    match folder.look(path)? {
        Some(Kind::Folder) => return Ok(false),
        Some(_) => {
            let error = Error::new(ErrorKind::Exists, "it is no folder");
            return Err(error.op("make a folder").at(shown(folder, path)));
        }
        None => {}
    }
    make_folder(folder, &path.parent())?;
    folder.make_folder(path)?;
    folder.sync(&path.parent())?;
    Ok(true)
}

/// How to name a file in a message: with the folder in front.
pub(super) fn shown(folder: &dyn BootFolder, path: &BootPath) -> String {
    format!("{}/{path}", folder.name())
}
