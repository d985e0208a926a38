//! Bytes that are read value by value, and no more values than allowed.

use bytes::Buf;

/// A buffer that is at its end after so many reads. A decoder reads each key, length and number by itself, so that half a
/// megabyte of empty messages, which would take sixty times as much when decoded, is given up early.
#[derive(Debug)]
pub(super) struct Counted<'b> {
    bytes: &'b [u8],
    left: usize,
    exhausted: bool,
}

impl<'b> Counted<'b> {
    /// Bytes with so many values in them, at most. A value takes three reads, at most: its key, its length, and itself.
    pub(super) fn new(bytes: &'b [u8], values: usize) -> Self {
        Self { bytes, left: values.saturating_mul(3), exhausted: false }
    }

    /// Whether there were more values.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }
}

impl Buf for Counted<'_> {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes
    }

    fn advance(&mut self, count: usize) {
        if self.left == 0 {
            self.exhausted = true;
            self.bytes = &[];
        } else {
            self.left -= 1;
            self.bytes = self.bytes.get(count..).unwrap_or_default();
        }
    }

    /// The decoder reads a number among the last ten bytes so, byte by byte, and looks only once how many there are. They
    /// are not counted, for then there could be none where it has seen one, which panics.
    fn get_u8(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }
}
