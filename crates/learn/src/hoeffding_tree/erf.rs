//! The error function, as glibc computes it: River's splits come from there, and where a weight lands on a limit
//! its last bit decides. The crate `libm` evaluates the same polynomials in another order.
//!
//! Coefficients from FreeBSD `msun/src/s_erf.c`:
//! Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun Microsystems, Inc.
//! business. Permission to use, copy, modify, and distribute this software is freely granted, provided that this
//! notice is preserved.

#[cfg(test)]
mod tests;

/// erf near 1, cut to single precision, and 2/√π − 1.
const NEAR_ONE: f64 = 0.845_062_911_510_467_5;
const SLOPE: f64 = 0.128_379_167_095_512_56;
const SMALL_OVER: [f64; 5] = [
    0.128_379_167_095_512_56,
    -0.325_042_107_247_001_5,
    -0.028_481_749_575_598_51,
    -0.005_770_270_296_489_442,
    -2.376_301_665_665_016_3e-5,
];
const SMALL_UNDER: [f64; 6] = [
    1.0,
    0.397_917_223_959_155_35,
    0.065_022_249_988_767_3,
    0.005_081_306_281_875_766,
    0.000_132_494_738_004_321_64,
    -3.960_228_278_775_368e-6,
];
const MIDDLE_OVER: [f64; 7] = [
    -0.002_362_118_560_752_659_4,
    0.414_856_118_683_748_33,
    -0.372_207_876_035_701_3,
    0.318_346_619_901_161_75,
    -0.110_894_694_282_396_68,
    0.035_478_304_325_618_236,
    -0.002_166_375_594_868_791,
];
const MIDDLE_UNDER: [f64; 7] = [
    1.0,
    0.106_420_880_400_844_23,
    0.540_397_917_702_171,
    0.071_828_654_414_196_27,
    0.126_171_219_808_761_64,
    0.013_637_083_912_029_05,
    0.011_984_499_846_799_107,
];
const LARGE_OVER: [f64; 8] = [
    -0.009_864_944_034_847_148,
    -0.693_858_572_707_181_8,
    -10.558_626_225_323_291,
    -62.375_332_450_326_006,
    -162.396_669_462_573_47,
    -184.605_092_906_711_04,
    -81.287_435_506_306_6,
    -9.814_329_344_169_145,
];
const LARGE_UNDER: [f64; 9] = [
    1.0,
    19.651_271_667_439_257,
    137.657_754_143_519_04,
    434.565_877_475_229_23,
    645.387_271_733_267_9,
    429.008_140_027_567_83,
    108.635_005_541_779_44,
    6.570_249_770_319_282,
    -0.060_424_415_214_858_1,
];
const HUGE_OVER: [f64; 7] = [
    -0.009_864_942_924_700_1,
    -0.799_283_237_680_523,
    -17.757_954_917_754_752,
    -160.636_384_855_821_92,
    -637.566_443_368_389_6,
    -1_025.095_131_611_077_2,
    -483.519_191_608_651_4,
];
const HUGE_UNDER: [f64; 8] = [
    1.0,
    30.338_060_743_482_46,
    325.792_512_996_573_9,
    1_536.729_586_084_437,
    3_199.858_219_508_595_5,
    2_553.050_406_433_164_4,
    474.528_541_206_955_37,
    -22.440_952_446_585_82,
];

/// Of a number that is not NaN.
pub(super) fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size < 0.843_75 {
        if size < 1.0 / f64::from(1 << 28) {
            return x + SLOPE * x;
        }
        let square = x * x;
        return x + x * (polynomial(square, &SMALL_OVER) / polynomial(square, &SMALL_UNDER));
    }
    if size < 1.25 {
        let beyond = size - 1.0;
        return (NEAR_ONE + polynomial(beyond, &MIDDLE_OVER) / polynomial(beyond, &MIDDLE_UNDER)).copysign(x);
    }
    if size >= 6.0 {
        return 1.0_f64.copysign(x);
    }
    let part = 1.0 / (size * size);
    // Compared by the upper half of the number, as in the source: 1/0.35.
    let ratio = if size.to_bits() >> 32 < 0x4006_db6e {
        polynomial(part, &LARGE_OVER) / polynomial(part, &LARGE_UNDER)
    } else {
        polynomial(part, &HUGE_OVER) / polynomial(part, &HUGE_UNDER)
    };
    // Cut to its upper half, so that its square is exact.
    let cut = f64::from_bits(size.to_bits() & 0xffff_ffff_0000_0000);
    let rest = (-cut * cut - 0.5625).exp() * ((cut - size) * (cut + size) + ratio).exp();
    (1.0 - rest / size).copysign(x)
}

/// Coefficients in pairs, so that the processor need not wait for each sum before the next.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    let square = x * x;
    let fourth = square * square;
    let powers = [square, fourth, fourth * square, fourth * fourth];
    let pair = |pair: &[f64]| match pair {
        [low, high, ..] => low + x * high,
        [low] => *low,
        [] => 0.0,
    };
    let mut pairs = coefficients.chunks(2);
    let first = pairs.next().map_or(0.0, pair);
    pairs.zip(powers).fold(first, |sum, (chunk, power)| sum + power * pair(chunk))
}
