//! Checksums over rows: SQLite returns flipped bits without complaint, we do not.

use es_core::StreamKey;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A checksum in the making: XXH3-64, each field hashed with the sum so far as its seed.
///
/// Where one field ends and the next begins counts: `("ab", "c")` and `("a", "bc")` differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u64);

impl Checksum {
    /// The start of a checksum over one kind of row.
    pub(crate) const fn start(kind: u64) -> Self {
        Self(kind)
    }

    /// What the events of a stream start with: whose it is, what, which one.
    pub(crate) fn stream(key: &StreamKey) -> Self {
        Self::start(1).text(crate::schema::tenant(key.tenant.as_ref())).text(&key.stream_type).text(key.id.as_str())
    }

    #[must_use]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        // Without the length an empty field would vanish into its neighbour.
        Self(xxh3_64_with_seed(bytes, self.0 ^ (bytes.len() as u64).rotate_left(40)))
    }

    #[must_use]
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Several numbers at once: one short hash.
    #[must_use]
    pub(crate) fn numbers<const N: usize>(self, numbers: [i64; N]) -> Self {
        let mut bytes = [[0; 8]; N];
        for (bytes, number) in bytes.iter_mut().zip(numbers) {
            *bytes = number.to_le_bytes();
        }
        self.bytes(bytes.as_flattened())
    }

    /// The sum, as the column holds it.
    pub(crate) const fn column(self) -> i64 {
        self.0.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_field_ends_and_the_next_begins_counts() {
        let sum = |a: &str, b: &str| Checksum::start(1).text(a).text(b).column();
        assert_ne!(sum("ab", "c"), sum("a", "bc"));
        assert_ne!(sum("ab", ""), sum("", "ab"));
        assert_eq!(sum("ab", "c"), sum("ab", "c"));
    }

    #[test]
    fn every_bit_of_every_number_counts() {
        let whole = Checksum::start(1).numbers([7, 8]).column();
        for bit in 0..64 {
            assert_ne!(Checksum::start(1).numbers([7 ^ (1 << bit), 8]).column(), whole);
            assert_ne!(Checksum::start(1).numbers([7, 8 ^ (1 << bit)]).column(), whole);
        }
    }
}
