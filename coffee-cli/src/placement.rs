//! `--placement`: one of those that ship, or a file's.

use std::fs;

use coffee_core::{
    plan::Placement,
    sales::{fused, staged},
};

use crate::failure::Failure;

/// The placement of that name, or in the file of that name.
pub fn named(name: &str) -> Result<Placement, Failure> {
    let placement = match name {
        "fused" => fused(),
        "staged" => staged(),
        path => {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(path, format!("no placement can be read there: {error}; fused and staged are built in"))
            })?;
            Placement::parse(&text)
        }
    };
    placement.map_err(|error| Failure::usage(name, error))
}

/// Whether it is one of those that ship.
pub fn is_built_in(name: &str) -> bool {
    matches!(name, "fused" | "staged")
}
