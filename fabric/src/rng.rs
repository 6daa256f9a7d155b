//! The world's randomness: one seeded stream an entity.
//!
//! A stream is named by the run's seed and the entity it belongs to, so that a new instance, or one more draw in one
//! place, does not shift everybody else's luck: variants of a run can be compared under common random numbers.
//! The generator is named (PCG, `Pcg64Mcg`), since `StdRng` may change between versions of its crate.

use rand::SeedableRng as _;
pub use rand_pcg::Pcg64Mcg as Rng;

/// The stream of random numbers of one entity in one run.
pub fn stream(seed: u64, entity: &str) -> Rng {
    // FNV-1a over the name, then SplitMix64 to spread both: stable across machines and versions.
    let name = entity.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let (low, high) = (spread(seed ^ spread(name)), spread(name ^ spread(seed.wrapping_add(1))));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&high.to_le_bytes());
    Rng::from_seed(bytes)
}

/// SplitMix64's finaliser.
fn spread(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    #[test]
    fn a_stream_depends_on_seed_and_entity_and_on_nothing_else() {
        let draw = |seed, entity| stream(seed, entity).random::<u64>();
        assert_eq!(draw(1, "dwfm-1"), draw(1, "dwfm-1"), "same seed, same entity");
        assert_ne!(draw(1, "dwfm-1"), draw(2, "dwfm-1"), "other seed");
        assert_ne!(draw(1, "dwfm-1"), draw(1, "dwfm-2"), "other entity");
    }

    #[test]
    fn the_generator_is_the_same_on_every_machine() {
        assert_eq!(stream(1, "eastfall").random::<u64>(), 9_651_689_266_637_668_315);
    }
}
