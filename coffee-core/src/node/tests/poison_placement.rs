//! Where the operators that are tested by poison run. Included by the tests of two crates, which both name `Placement` above it.

use super::Placement;

/// A stage for each operator, or a few of them.
pub fn placement(staged: bool, shards: u16, replicas: u16, combine: bool) -> Placement {
    let text = if staged {
        format!(
            r#"stage = [
                {{ name = "read", operators = ["names", "sales"], replicas = {replicas} }},
                {{ name = "filter", operators = ["large"], replicas = {replicas}, combine = {combine} }},
                {{ name = "map", operators = ["columns"], replicas = {replicas} }},
                {{ name = "sums", operators = ["sums"], shards = {shards}, combine = {combine} }},
                {{ name = "part", operators = ["best:partial"], shards = {shards} }},
                {{ name = "best", operators = ["best"], shards = {shards}, combine = {combine} }},
                {{ name = "join", operators = ["named"], shards = {shards} }},
                {{ name = "results", operators = ["large-sales", "best-names", "rejected"] }},
            ]"#
        )
    } else {
        format!(
            r#"stage = [
                {{ name = "scan", operators = ["names", "sales", "large", "columns"], hosted = true, combine = {combine} }},
                {{ name = "state", operators = ["sums"], shards = {shards} }},
                {{ name = "best", operators = ["best"] }},
                {{ name = "join", operators = ["named"], shards = {shards} }},
                {{ name = "results", operators = ["large-sales", "best-names", "rejected"] }},
            ]"#
        )
    };
    Placement::parse(&text).unwrap()
}
