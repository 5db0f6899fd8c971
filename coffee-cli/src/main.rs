//! The coffee command.
fn main() {}
