//! Which partition an aggregate belongs to.

/// The partition, of so many, that handles the events of an aggregate: FNV-1a (32 bit) of its id, modulo their number.
///
/// It never changes: checkpoints are stored by it.
///
/// ```
/// # use es_core::partition_of;
/// assert_eq!(partition_of("acc-1", 1), 0);
/// assert!(partition_of("acc-1", 4) < 4);
/// ```
pub fn partition_of(id: &str, partitions: u32) -> u32 {
    let hash = id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a_of_32_bits() {
        // The published test vectors; u32::MAX as the modulus leaves them as they are.
        for (id, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968), ("ß", 0x309e_0517)] {
            assert_eq!(partition_of(id, u32::MAX), hash, "{id:?}");
        }
    }

    #[test]
    fn no_partitions_count_as_one() {
        assert_eq!((partition_of("a", 0), partition_of("a", 1)), (0, 0));
    }
}
