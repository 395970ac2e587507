//! Extended records: `LENGTH KEY=VALUE` and a newline, where the length counts all of it.

use super::sparse::Told;
use super::{acl, corrupt};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{ACL_ACCESS, ACL_DEFAULT, Time, Xattrs};

/// In front of an attribute's name, by star, GNU tar and libarchive.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
/// The same by libarchive alone, with the value in another writing. It writes both.
const ATTRIBUTE_AGAIN: &[u8] = b"LIBARCHIVE.xattr.";

/// Linux takes no longer value of an attribute, and what an ext4 keeps of a file's names and values in
/// all is far less.
const ATTRIBUTES_MOST: usize = 64 << 10;

/// What records say of an entry, names of GNU's own sort among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) sparse: Told,
    attributes: Xattrs,
    /// Attributes that only libarchive's own records have.
    again: Vec<Vec<u8>>,
}

impl Records {
    /// Takes over what these bytes say.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) = split(bytes).ok_or_else(|| corrupt("a record is damaged"))?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = equals
                .and_then(|at| Some((record.get(..at)?, record.get(at + 1..)?)))
                .ok_or_else(|| corrupt("a record has no value"))?;
            self.take(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.name = said(value, |name| Ok(name.to_vec()))?,
            b"linkpath" => self.link = said(value, |target| Ok(target.to_vec()))?,
            b"size" => self.size = said(value, number)?,
            b"uid" => self.uid = said(value, number)?,
            b"gid" => self.gid = said(value, number)?,
            b"mtime" => self.mtime = said(value, time)?,
            b"RHT.security.selinux" => {
                // The kernel's value has a zero at its end.
                let label = [value, b"\0"].concat();
                self.attributes.insert(b"security.selinux".to_vec(), label);
            }
            b"SCHILY.acl.access" => {
                self.attributes.insert(ACL_ACCESS.to_vec(), acl::from_text(value)?);
            }
            b"SCHILY.acl.default" => {
                self.attributes.insert(ACL_DEFAULT.to_vec(), acl::from_text(value)?);
            }
            // The name that a sparse file really has.
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            _ => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                    self.attributes.insert(name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(ATTRIBUTE_AGAIN) {
                    self.again.push(name.to_vec());
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value)?;
                }
            }
        }
        Ok(())
    }

    /// The same, with what holds for all entries where these say nothing.
    pub(super) fn over(&self, global: &Self) -> Self {
        let mut attributes = global.attributes.clone();
        attributes.extend(self.attributes.clone());
        let own_name = self.sparse.name.clone().or_else(|| self.name.clone());
        Self {
            name: own_name,
            link: self.link.clone(),
            size: self.size,
            uid: self.uid.or(global.uid),
            gid: self.gid.or(global.gid),
            mtime: self.mtime.or(global.mtime),
            sparse: self.sparse.clone(),
            attributes,
            again: self.again.clone(),
        }
    }

    /// All attributes.
    pub(super) fn xattrs(&self) -> Result<Xattrs> {
        let lens = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        let all = lens.sum::<usize>();
        if all > ATTRIBUTES_MOST {
            let why =
                format!("its attributes have {all} bytes, where {ATTRIBUTES_MOST} are the most");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        match self.again.iter().find(|name| !self.attributes.contains_key(*name)) {
            None => Ok(self.attributes.clone()),
            Some(name) => {
                let name = String::from_utf8_lossy(name).escape_debug().to_string();
                let why = format!(
                    "its attribute '{name}' is written in libarchive's way alone: make the archive \
                     with --options xattrheader=ALL"
                );
                Err(Error::new(ErrorKind::Unsupported, why))
            }
        }
    }
}

/// A record's value; an empty one takes away what was said before.
fn said<T>(value: &[u8], read: impl Fn(&[u8]) -> Result<T>) -> Result<Option<T>> {
    if value.is_empty() { Ok(None) } else { read(value).map(Some) }
}

/// One record without its length and newline, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    Some((record.get(space + 1..)?.strip_suffix(b"\n")?, rest))
}

/// A number in decimal.
pub(super) fn number(text: &[u8]) -> Result<u64> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| corrupt("a record is no number"))
}

/// Seconds with any number of decimals, before 1970 too.
fn time(text: &[u8]) -> Result<Time> {
    let bad = || corrupt("a record is no time");
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| bad())?;
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let nine: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = nine.parse().map_err(|_| bad())?;
    // -1.25 is 0.75 seconds behind -2.
    match whole.starts_with('-') && nanos > 0 {
        true => Ok((seconds.saturating_sub(1), 1_000_000_000 - nanos)),
        false => Ok((seconds, nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_length_that_they_say() {
        let mut records = Records::default();
        let bytes = b"32 SCHILY.xattr.user.a=x\ny\n=\0z\n\n12 uid=1000\n19 mtime=-1.250000\n";
        records.read(bytes).expect("three records");
        let xattrs = records.xattrs().expect("one");
        assert_eq!(xattrs[b"user.a".as_slice()], b"x\ny\n=\0z\n");
        assert_eq!((records.uid, records.mtime), (Some(1000), Some((-2, 750_000_000))));
        for bad in [
            &b"12 uid=100\n"[..],
            b"x uid=1\n",
            b"9 uid=1x\n",
            b"7 uid1\n",
            b"99999999999999999999 a=b\n",
        ] {
            assert!(Records::default().read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn attributes_are_no_larger_than_linux_has_them() {
        let of = |name: &str, len: usize| {
            let rest = format!(" SCHILY.xattr.user.{name}={}\n", "x".repeat(len));
            // The length counts its own digits, of which there may be zeros in front.
            format!("{:08}{rest}", rest.len() + 8).into_bytes()
        };
        let mut records = Records::default();
        for name in ["a", "b", "c"] {
            records.read(&of(name, 20_000)).expect("a record");
        }
        assert_eq!(records.xattrs().expect("not too much").len(), 3);
        for (name, len) in [("d", 6_000), ("a", 66_000)] {
            let mut more = records.clone();
            more.read(&of(name, len)).expect("a record");
            let error = more.xattrs().expect_err("too much");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn what_only_libarchive_can_read_is_refused() {
        let mut records = Records::default();
        records.read(b"30 LIBARCHIVE.xattr.user.a=eA\n").expect("a record");
        assert!(records.xattrs().expect_err("alone").to_string().contains("user.a"));
        records.read(b"25 SCHILY.xattr.user.a=x\n").expect("a record");
        assert_eq!(records.xattrs().expect("both").len(), 1);
    }
}
