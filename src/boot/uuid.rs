//! A file system's UUID, as GRUB's `search --fs-uuid` names it.
//!
//! Source: GRUB 2.06, `grub-core/fs/ext2.c`, `xfs.c` and `fat.c`.

use std::fmt::Write;

/// So much of a file system's beginning is looked at.
pub const HEAD: usize = 4096;

/// The UUID in the beginning of an ext2, ext3, ext4, XFS or FAT; `None` for what it is not.
pub fn fs_uuid(head: &[u8]) -> Option<String> {
    if field::<2>(head, 1080)? == [0x53, 0xef] {
        return Some(dashed(&field(head, 1024 + 0x68)?));
    }
    if field::<4>(head, 0)? == *b"XFSB" {
        return Some(dashed(&field(head, 32)?));
    }
    if field::<2>(head, 510)? != [0x55, 0xaa] {
        return None;
    }
    // FAT32 has no name at the place of the older ones.
    let serial = match (field::<3>(head, 0x36)?, field::<3>(head, 0x52)?) {
        ([b'F', b'A', b'T'], _) => field::<4>(head, 0x27)?,
        (_, [b'F', b'A', b'T']) => field::<4>(head, 0x43)?,
        _ => return None,
    };
    let [a, b, c, d] = serial;
    Some(format!("{d:02X}{c:02X}-{b:02X}{a:02X}"))
}

fn field<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

fn dashed(uuid: &[u8; 16]) -> String {
    let mut text = String::new();
    for (place, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_told_by_its_head() {
        let mut head = vec![0; HEAD];
        assert_eq!(fs_uuid(&head), None);
        let uuid: Vec<u8> = (0x10..0x20).collect();
        head[1080..1082].copy_from_slice(&[0x53, 0xef]);
        head[1128..1144].copy_from_slice(&uuid);
        let text = "10111213-1415-1617-1819-1a1b1c1d1e1f";
        assert_eq!(fs_uuid(&head).as_deref(), Some(text));
        let mut head = vec![0; HEAD];
        head[..4].copy_from_slice(b"XFSB");
        head[32..48].copy_from_slice(&uuid);
        assert_eq!(fs_uuid(&head).as_deref(), Some(text));
        assert_eq!(fs_uuid(&head[..100]), None);
    }

    #[test]
    fn fat_has_a_serial_number() {
        for (kind, name, serial) in [("FAT16   ", 0x36, 0x27), ("FAT32   ", 0x52, 0x43)] {
            let mut head = vec![0; HEAD];
            head[510..512].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(fs_uuid(&head), None, "a boot sector alone");
            head[name..name + 8].copy_from_slice(kind.as_bytes());
            head[serial..serial + 4].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
            assert_eq!(fs_uuid(&head).as_deref(), Some("1234-5678"));
        }
    }
}
