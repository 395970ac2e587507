//! Where bytes go in order.

use std::io::{self, Write};

/// Takes bytes one after the other; they are not looked at again.
pub trait Outlet {
    /// Takes all of them.
    ///
    /// # Errors
    /// As what is behind it gives them; nothing more may be put into it then.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes so many zeros, as a hole where it can have one.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn skip(&mut self, zeros: u64) -> io::Result<()> {
        const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
        let mut left = zeros;
        while left > 0 {
            let some = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            self.put(ZEROS.get(..some).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(some).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

impl Outlet for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl<O: Outlet + ?Sized> Outlet for &mut O {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).put(bytes)
    }

    fn skip(&mut self, zeros: u64) -> io::Result<()> {
        (**self).skip(zeros)
    }
}

/// One for those that write.
pub struct OutletWriter<'o>(pub &'o mut dyn Outlet);

impl Write for OutletWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
