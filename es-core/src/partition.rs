//! Which partition of a subscriber an aggregate belongs to.

/// The partition that handles the events of the aggregate with this id: FNV-1a, 32 bits, over its UTF-8 bytes, modulo
/// the number of partitions.
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
    fn the_hash_is_fnv_1a() {
        for (id, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(partition_of(id, u32::MAX), hash % u32::MAX, "{id}");
        }
    }

    #[test]
    fn no_partitions_are_one() {
        assert_eq!(partition_of("a", 0), 0);
    }
}
