//! Sets of bytes, told by one look at a table.

/// A set of bytes.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// These.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self([false; 256]).and(bytes)
    }

    /// Letters and digits of ASCII, and these.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0u8;
        while byte < 128 {
            set[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        Self(set).and(others)
    }

    const fn and(mut self, others: &[u8]) -> Self {
        let mut index = 0;
        while index < others.len() {
            self.0[others[index] as usize] = true;
            index += 1;
        }
        self
    }

    /// True where it has this byte.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}
