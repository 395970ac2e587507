//! Extended attributes: sets of them, each by a number that inodes have.
//!
//! The table begins with u64 where the attributes are, u32 how many sets, u32 unused, and where the blocks
//! with the sets are. A set is u64 where it is, u32 how many attributes, u32 their length. An attribute is
//! u16 what its name begins with, u16 the name's length, the name, u32 the value's length, the value; or in
//! place of the value u64 where that is.

use std::io;

use super::metadata::{Place, entry};
use super::reader::{Fields, State};
use super::{Image, damaged};
use crate::tree::Xattrs;

/// Of what a name begins with: the value is elsewhere.
const ELSEWHERE: u16 = 1 << 8;
/// The kernel's limits for a value, and for the names of one file.
const VALUE_MAX: usize = 64 << 10;
const NAMES_MAX: usize = 64 << 10;
/// So much is kept of one file's values.
const VALUES_MAX: usize = 1 << 20;
/// Of the table.
const HEADER: u64 = 16;

/// Those with that number.
pub(super) fn read(state: &mut State, image: &Image, number: u32) -> io::Result<Xattrs> {
    if let Some((_, xattrs)) = state.xattrs.as_ref().filter(|(of, _)| *of == number) {
        return Ok(xattrs.clone());
    }
    let none = || damaged("a file has attributes that are not there");
    let table = image.sb.xattr_table.ok_or_else(none)?;
    let mut header = [0; 12];
    image.read(&mut header, table)?;
    let (start, count) = header.split_first_chunk().ok_or_else(none)?;
    let start = u64::from_le_bytes(*start);
    if number >= u32::from_le_bytes(count.first_chunk().copied().unwrap_or_default()) {
        return Err(none());
    }
    let mut set = state.fields(image, entry(image, table.saturating_add(HEADER), number, 16)?);
    let (reference, count) = (set.u64()?, set.u32()?);
    let mut fields = state.fields(image, Place::of(reference, start));
    let (mut xattrs, mut names, mut values) = (Xattrs::new(), 0usize, 0usize);
    for _ in 0..count {
        let begins = fields.u16()?;
        let name = usize::from(fields.u16()?);
        let name = fields.bytes(name)?;
        let value = if begins & ELSEWHERE == 0 {
            value(&mut fields)?
        } else {
            let (_len, reference, behind) = (fields.u32()?, fields.u64()?, fields.at);
            fields.at = Place::of(reference, start);
            let value = value(&mut fields)?;
            fields.at = behind;
            value
        };
        names = names.saturating_add(name.len()).saturating_add(1);
        values = values.saturating_add(value.len());
        if names > NAMES_MAX || values > VALUES_MAX {
            let why =
                format!("more than {VALUES_MAX} bytes of attributes, or {NAMES_MAX} of names");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let space: &[u8] = match begins & !ELSEWHERE {
            0 => b"user.",
            1 => b"trusted.",
            2 => b"security.",
            // The kernel shows none of these either.
            _ => continue,
        };
        if name.is_empty() || name.contains(&0) {
            return Err(damaged("an attribute has no name"));
        }
        xattrs.entry([space, &name].concat()).or_insert(value);
    }
    state.xattrs = Some((number, xattrs.clone()));
    Ok(xattrs)
}

fn value(fields: &mut Fields<'_>) -> io::Result<Vec<u8>> {
    let len = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    if len > VALUE_MAX {
        return Err(damaged("an attribute is longer than it can be"));
    }
    fields.bytes(len)
}
