//! The random numbers of CPython: MT19937 as `random.Random(seed)` draws from it.
//!
//! Learners that were defined by a Python program (River) draw features, thresholds and bootstrap weights; to
//! give the same model from the same seed, the draws must be the same, bit for bit and in the same number.
//! Source: M. Matsumoto, T. Nishimura, "Mersenne Twister", TOMACS 1998; CPython 3.11 `Lib/random.py`.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// 2.5 KB of state; period 2^19937 − 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mersenne {
    state: Vec<u32>,
    next: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw {count} different ones of {population}")]
pub struct TooFew {
    pub count: u32,
    pub population: u32,
}

impl Mersenne {
    /// As `random.Random(seed)`.
    pub fn new(seed: u64) -> Self {
        let low = seed as u32;
        let high = (seed >> 32) as u32;
        if high == 0 { Self::by_array(&[low]) } else { Self::by_array(&[low, high]) }
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        if usize::from(self.next) >= WORDS {
            self.twist();
        }
        let mut word = self.state[usize::from(self.next)];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Uniform in [0, 1), in steps of 2^−53.
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.word() >> 5);
        let low = f64::from(self.word() >> 6);
        (high * 67_108_864.0 + low) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Between the two bounds.
    pub fn uniform(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.random()
    }

    /// An index, as `choices(range(n), cum_weights=…)` draws it: `cumulative` holds the running sums of the
    /// weights. 0 without any.
    pub fn choose(&mut self, cumulative: &[f64]) -> usize {
        let Some((total, _)) = cumulative.split_last() else { return 0 };
        let drawn = self.random() * (total + 0.0);
        cumulative[..cumulative.len() - 1].partition_point(|sum| *sum <= drawn)
    }

    /// Uniform below `bound`, as `randrange(bound)`; 0 if that is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        // CPython asks for as many bits as the bound has, and again if the number is not below it: each time
        // with a chance of more than one half.
        let unused = bound.leading_zeros();
        loop {
            let drawn = self.word() >> unused;
            if drawn < bound {
                return drawn;
            }
        }
    }

    /// `count` different ones of 0..`population`, in random order, as `sample(range(population), count)`.
    pub fn sample(&mut self, population: u32, count: u32) -> Result<Vec<u32>, TooFew> {
        if count > population {
            return Err(TooFew { count, population });
        }
        let mut drawn = Vec::with_capacity(count as usize);
        if u64::from(population) <= largest_pool(count) {
            let mut pool: Vec<u32> = (0..population).collect();
            for taken in 0..count {
                let left = population - taken;
                let index = self.below(left) as usize;
                drawn.push(pool[index]);
                pool[index] = pool[left as usize - 1];
            }
        } else {
            let mut seen = std::collections::BTreeSet::new();
            while drawn.len() < count as usize {
                let one = self.below(population);
                if seen.insert(one) {
                    drawn.push(one);
                }
            }
        }
        Ok(drawn)
    }

    fn by_seed(seed: u32) -> Self {
        let mut state = Vec::with_capacity(WORDS);
        let mut last = seed;
        state.push(last);
        for index in 1..WORDS as u32 {
            last = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(index);
            state.push(last);
        }
        Mersenne { state, next: WORDS as u16 }
    }

    fn by_array(keys: &[u32]) -> Self {
        let mut own = Self::by_seed(19_650_218);
        let state = &mut own.state;
        let (mut at, mut key) = (1, 0);
        for _ in 0..WORDS.max(keys.len()) {
            let last = state[at - 1];
            state[at] = (state[at] ^ (last ^ (last >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(keys[key])
                .wrapping_add(key as u32);
            at += 1;
            key = (key + 1) % keys.len();
            if at == WORDS {
                state[0] = state[WORDS - 1];
                at = 1;
            }
        }
        for _ in 1..WORDS {
            let last = state[at - 1];
            state[at] =
                (state[at] ^ (last ^ (last >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(at as u32);
            at += 1;
            if at == WORDS {
                state[0] = state[WORDS - 1];
                at = 1;
            }
        }
        state[0] = 0x8000_0000;
        own
    }

    fn twist(&mut self) {
        let state = &mut self.state;
        for at in 0..WORDS {
            let mixed = (state[at] & 0x8000_0000) | (state[(at + 1) % WORDS] & 0x7fff_ffff);
            let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            state[at] = state[(at + SHIFT) % WORDS] ^ (mixed >> 1) ^ odd;
        }
        self.next = 0;
    }
}

impl Snapshot for Mersenne {
    const KIND: [u8; 4] = *b"mt19";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        snapshot::ensure(
            self.state.len() == WORDS && usize::from(self.next) <= WORDS,
            "a generator has 624 words and a place among them",
        )
    }
}

/// Up to this population CPython draws from a list, beyond it remembers what it drew; the draws differ.
fn largest_pool(count: u32) -> u64 {
    let mut power = 0;
    if count > 5 {
        power = 1;
        while power < 3 * u64::from(count) {
            power *= 4;
        }
    }
    21 + power
}
