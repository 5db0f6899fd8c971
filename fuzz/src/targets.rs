//! All targets, by name.

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub fn targets() -> impl Iterator<Item = Target> {
    [
        coffee_core::fuzzing::TARGETS,
        coffee_mom::fuzzing::TARGETS,
        coffee_nodes::fuzzing::TARGETS,
        coffee_cli::fuzzing::TARGETS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
