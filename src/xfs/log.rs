//! Whether the log ends with the record of an unmount.
//!
//! The log is a ring of blocks of 512 bytes. Each begins with the number of the cycle in which it
//! was written (a record's header with a magic number, and then the cycle), so the place where the
//! number falls is the head: where the next record would go. A clean log's last record before the
//! head holds one operation, and that one says "unmount". All else is called dirty, also what this
//! simple reading does not understand: a replay of a clean log does no harm.

use std::io;
use std::ops::Range;

use crate::dev::Dev;
use crate::ext4::fields::Fields;
use crate::units::Bytes;

const BLOCK: u64 = 512;
/// `XLOG_HEADER_MAGIC_NUM`.
const MAGIC: u32 = 0xFEED_BABE;
/// A header describes up to 32 KiB; records of 256 KiB have headers of 8 blocks and 512 of data.
const DESCRIBED: u32 = 32 * 1024;
const FARTHEST: u64 = 8 + 512;
/// `XLOG_UNMOUNT_TRANS` in `oh_flags`.
const UNMOUNT: u8 = 0x20;

/// See the module.
pub(super) fn is_clean(dev: &dyn Dev, place: Range<Bytes>) -> io::Result<bool> {
    let blocks = place.end.saturating_sub(place.start).get() / BLOCK;
    let log = Log { dev, start: place.start, blocks };
    if blocks == 0 {
        return Ok(false);
    }
    let head = log.head()?;
    log.ends_with_unmount(head)
}

struct Log<'d> {
    dev: &'d dyn Dev,
    start: Bytes,
    blocks: u64,
}

impl Log<'_> {
    fn read(&self, block: u64) -> io::Result<[u8; 512]> {
        let mut buf = [0; 512];
        let at = Bytes::new(block.saturating_mul(BLOCK)).saturating_add(self.start);
        self.dev.read_at(&mut buf, at)?;
        Ok(buf)
    }

    fn cycle(&self, block: u64) -> io::Result<u32> {
        let buf = self.read(block)?;
        let fields = Fields(&buf);
        let first = fields.be32(0);
        Ok(if first == MAGIC { fields.be32(4) } else { first })
    }

    /// The first block of the older cycle, or the end of the log where all are of one.
    fn head(&self) -> io::Result<u64> {
        let newer = self.cycle(0)?;
        let (mut low, mut high) = (0, self.blocks);
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if self.cycle(middle)? == newer {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    fn ends_with_unmount(&self, head: u64) -> io::Result<bool> {
        let newer = self.cycle(0)?;
        for back in 1..=FARTHEST.min(head) {
            let block = head.saturating_sub(back);
            let buf = self.read(block)?;
            let header = Fields(&buf);
            if header.be32(0) == MAGIC {
                return Ok(header.be32(4) == newer && self.is_unmount(header, block, back)?);
            }
        }
        // A record may begin before the end of the ring and go on at its front: not for an unmount.
        Ok(false)
    }

    /// Whether the record with this header ends `back` blocks after it begins, and is an unmount's.
    fn is_unmount(&self, header: Fields<'_>, block: u64, back: u64) -> io::Result<bool> {
        let (h_version, h_len, h_num_logops) = (header.be32(8), header.be32(12), header.be32(40));
        let (h_lsn, h_size) = (header.be64(16), header.be32(320));
        let here = (u64::from(header.be32(4)) << 32) | block;
        let headers = if h_version & 2 != 0 { h_size.div_ceil(DESCRIBED).max(1) } else { 1 };
        let len = u64::from(headers).saturating_add(u64::from(h_len).div_ceil(BLOCK));
        if h_num_logops != 1 || h_lsn != here || len != back {
            return Ok(false);
        }
        let data = self.read(block.saturating_add(headers.into()))?;
        // An operation's header: `oh_tid`, `oh_len`, `oh_clientid`, `oh_flags`. The first four bytes
        // of a block hold the cycle instead, and those are not looked at.
        Ok(Fields(&data).u8(9) & UNMOUNT != 0)
    }
}
