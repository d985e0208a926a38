//! How much is done: a short form for every commit, a long one for the night.

/// Whether this is the long form: `TORTURE=long`.
pub fn is_long() -> bool {
    std::env::var_os("TORTURE").is_some_and(|form| form == "long")
}

/// How often to do something.
pub fn times(short: u64, long: u64) -> u64 {
    if is_long() { long } else { short }
}

/// The lots of a test: from `TORTURE_SEED`, or new ones; printed, so that a failure can be repeated.
pub fn lots(test: &str) -> fastrand::Rng {
    let given = std::env::var("TORTURE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: TORTURE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
