//! Lists of access rights: text in an archive, an attribute on disk.
//!
//! Source: `linux/posix_acl_xattr.h` and `posix_acl.h`; acl(5), "ACL TEXT FORMS".

use super::corrupt;
use crate::error::{Error, ErrorKind, Result};

const VERSION: u32 = 2;
/// The id of an entry that has none.
const NOBODY: u32 = u32::MAX;

/// The value of the attribute for a text of entries between commas or newlines. Behind the rights
/// there may be the number of who is named (libarchive, star).
pub(super) fn from_text(text: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let lines =
        text.split(['\n', ',']).map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut entries =
        lines.filter(|line| !line.is_empty()).map(entry).collect::<Result<Vec<_>>>()?;
    // As the kernel wants them: by sort, and by number.
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, rights) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(rights.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Ok(value)
}

/// Sort, who, and rights.
fn entry(line: &str) -> Result<(u16, u32, u16)> {
    let mut fields = line.split(':');
    let mut next = || fields.next().map(str::trim);
    let (Some(sort), Some(who), Some(rights)) = (next(), next(), next()) else { return Err(bad()) };
    let number = next().filter(|number| !number.is_empty()).unwrap_or(who);
    let tag = match (sort, who.is_empty()) {
        ("user" | "u", true) => 0x01,
        ("user" | "u", false) => 0x02,
        ("group" | "g", true) => 0x04,
        ("group" | "g", false) => 0x08,
        ("mask" | "m", _) => 0x10,
        ("other" | "o", _) => 0x20,
        _ => return Err(bad()),
    };
    let id = match tag {
        0x02 | 0x08 => number.parse().map_err(|_| {
            let why = format!(
                "its access rights name '{who}' without a number: make the archive with \
                 --xattrs-include='*' in the place of --acls"
            );
            Error::new(ErrorKind::Unsupported, why)
        })?,
        _ => NOBODY,
    };
    let mut all = 0;
    for (right, bit) in rights.chars().zip([4, 2, 1].into_iter().chain(std::iter::repeat(0))) {
        match (right, bit) {
            ('r', 4) | ('w', 2) | ('x', 1) => all |= bit,
            ('-', 1..) => {}
            _ => return Err(bad()),
        }
    }
    Ok((tag, id, all))
}

fn bad() -> Error {
    corrupt("a list of access rights is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_the_kernel_reads() {
        let value = from_text(b"user::rwx,group::r-x\nother::---\nuser:lisa:rw-:1000,mask::rwx #e");
        let told =
            [(1u16, 7u16, NOBODY), (2, 6, 1000), (4, 5, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY)];
        let mut wanted = vec![2, 0, 0, 0];
        for (tag, rights, id) in told {
            wanted.extend(tag.to_le_bytes());
            wanted.extend(rights.to_le_bytes());
            wanted.extend(id.to_le_bytes());
        }
        assert_eq!(value.expect("good"), wanted);
        let error = from_text(b"user:lisa:rwx").expect_err("no number");
        assert!(error.to_string().contains("'lisa'"), "{error}");
        for bad in ["user", "user::rwxr", "user::xwr", "you::rwx", "user::rw"] {
            let kind = from_text(bad.as_bytes()).map_err(|error| error.kind());
            assert!(kind == Err(ErrorKind::Corrupt) || bad == "user::rw", "{bad}");
        }
    }
}
