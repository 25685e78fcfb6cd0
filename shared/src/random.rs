//! What is made of a roll: 64 random bits that the platform hands in.

/// How far the states of a sequence of rolls lie apart (`SplitMix64`).
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The roll that a state stands for; states a [`STEP`] apart give rolls that have nothing in common. Good for
/// spreading load and naming requests, not for keys.
pub fn scramble(state: u64) -> u64 {
    let mut z = state.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The point of `0..bound` that `roll` stands for; 0 when there is none.
pub(crate) fn below(roll: u64, bound: u64) -> u64 {
    // Less than `bound`, so it fits.
    u64::try_from((u128::from(roll) * u128::from(bound)) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The first values of the reference implementation from seed 0.
        let rolls = [0, STEP, STEP.wrapping_mul(2)].map(scramble);
        assert_eq!(rolls, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    proptest! {
        #[test]
        fn a_point_is_below_its_bound(roll: u64, bound in 1_u64..) {
            prop_assert!(below(roll, bound) < bound);
        }
    }
}
