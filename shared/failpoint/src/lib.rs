//! Named places where a test makes the real binary fail; see README.md for what can be asked for.
//!
//! Owns how a process dies, stops, hangs or panics on demand. Refuses to exist in a release: without the feature
//! `failpoints` every call compiles to nothing.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{panic_here as panic_point, pass as point, pass_at as point_at, reached};

/// Passes the point `name`.
#[cfg(not(feature = "failpoints"))]
pub fn point(_name: &'static str) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Passes the point `name` of the chunk at `place` in its chain.
#[cfg(not(feature = "failpoints"))]
pub fn point_at(_name: &'static str, _place: u64) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Panics at the point `name`, if that is what is asked for; for places that cannot wait.
#[cfg(not(feature = "failpoints"))]
pub const fn panic_point(_name: &'static str) {}

/// Marks that a rare branch was taken, so that a suite can show that its faults were met.
#[cfg(not(feature = "failpoints"))]
pub const fn reached(_name: &'static str) {}
