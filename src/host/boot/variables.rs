//! The loader's variables in efivarfs (Documentation/filesystems/efivarfs.rst): a file each, four
//! bytes of attributes before the value, written in one piece. Most are immutable files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

use crate::boot::vars::{EfiVars, VENDOR, Variable};
use crate::error::{Error, ErrorKind, Result};

const FOLDER: &str = "/sys/firmware/efi/efivars";

/// `EFI_VARIABLE_NON_VOLATILE`, `_BOOTSERVICE_ACCESS` and `_RUNTIME_ACCESS`.
const ATTRIBUTES: u32 = 1 | 2 | 4;

/// Longest value that is read.
const LONGEST: u64 = 64 << 10;

/// This machine's variables.
#[derive(Debug)]
pub struct RealVars {
    folder: PathBuf,
}

impl RealVars {
    /// `None` where the machine has none, or does not show them.
    pub fn open() -> Option<Self> {
        let folder = PathBuf::from(FOLDER);
        let mut entries = std::fs::read_dir(&folder).ok()?;
        entries.next().is_some().then_some(Self { folder })
    }

    fn path(&self, variable: Variable) -> PathBuf {
        self.folder.join(format!("{}-{VENDOR}", variable.name()))
    }

    fn read(&self, variable: Variable) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(variable)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes.get(4..).map(<[u8]>::to_vec))
    }

    fn write(&self, variable: Variable, value: &[u8]) -> io::Result<()> {
        let path = self.path(variable);
        let kept = self.unlock(variable)?;
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).mode(0o644).custom_flags(flags);
        let bytes = [ATTRIBUTES.to_le_bytes().as_slice(), value].concat();
        let written = options.open(&path).and_then(|mut file| {
            let len = file.write(&bytes)?;
            if len == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
        });
        // As it was: a variable must not be lost by a careless removal.
        if let (Some(flags), Ok(file)) = (kept, File::open(&path)) {
            let _ = ioctl_setflags(&file, flags);
        }
        written
    }

    /// Takes the immutable flag away; gives the flags as they were where it was set.
    fn unlock(&self, variable: Variable) -> io::Result<Option<IFlags>> {
        let file = match File::open(self.path(variable)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let flags = match ioctl_getflags(&file) {
            // Not every file system has such flags; then none stands in the way.
            Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            flags => flags?,
        };
        if !flags.contains(IFlags::IMMUTABLE) {
            return Ok(None);
        }
        ioctl_setflags(&file, flags.difference(IFlags::IMMUTABLE))?;
        Ok(Some(flags))
    }

    fn unlink(&self, variable: Variable) -> io::Result<()> {
        self.unlock(variable)?;
        match std::fs::remove_file(self.path(variable)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn failed(op: &'static str, variable: Variable) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let kind = error.kind();
        let error = Error::io(error).op(op).at(variable.name());
        match kind {
            io::ErrorKind::ReadOnlyFilesystem => error.with_kind(ErrorKind::Denied),
            _ => error,
        }
    }
}

impl EfiVars for RealVars {
    fn get(&self, variable: Variable) -> Result<Option<Vec<u8>>> {
        self.read(variable).map_err(failed("read an EFI variable", variable))
    }

    fn set(&self, variable: Variable, value: &[u8]) -> Result<()> {
        log::debug!("set the EFI variable {} to {value:02x?}", variable.name());
        self.write(variable, value).map_err(failed("set an EFI variable", variable))
    }

    fn remove(&self, variable: Variable) -> Result<()> {
        log::debug!("remove the EFI variable {}", variable.name());
        self.unlink(variable).map_err(failed("remove an EFI variable", variable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_file_with_attributes_before_its_value() {
        let dir = tempfile::tempdir().expect("a folder");
        let vars = RealVars { folder: dir.path().to_owned() };
        assert_eq!(vars.get(Variable::Default).expect("read"), None);
        vars.set(Variable::Default, b"a\0").expect("set");
        let name = "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
        let bytes = std::fs::read(dir.path().join(name)).expect("there");
        assert_eq!(bytes, [7, 0, 0, 0, b'a', 0]);
        assert_eq!(vars.get(Variable::Default).expect("read").as_deref(), Some(b"a\0".as_slice()));
        vars.remove(Variable::Default).expect("removed");
        vars.remove(Variable::Default).expect("nothing is there");
        assert_eq!(vars.get(Variable::Default).expect("read"), None);
    }
}
