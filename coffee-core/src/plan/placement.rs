//! Which operators run together, as data: a TOML file.
//!
//! ```toml
//! [[stage]]
//! name = "scan"
//! operators = ["transactions", "year", "hour"]   # a chain, cut nowhere
//! hosted = true                                  # runs where the chunks come in, without a queue before it
//!
//! [[stage]]
//! name = "groups"
//! operators = ["tpv", "purchases"]
//! shards = 2
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

/// A placement that can't be read or does not fit its plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// Not a placement file.
    #[error("the placement can't be read: {0}")]
    Syntax(String),
    /// Two stages of one name.
    #[error("two stages are called {0:?}")]
    SameName(String),
    /// A stage without operators, or with none or too many shards or replicas.
    #[error("stage {stage:?} has {what}")]
    Stage {
        /// Which stage.
        stage: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No such operator.
    #[error("stage {stage:?} names {operator:?}, which the plan does not have")]
    UnknownOperator {
        /// Which stage.
        stage: String,
        /// What it names.
        operator: String,
    },
    /// An operator in two stages.
    #[error("operator {0:?} is in two stages")]
    PlacedTwice(String),
    /// An operator in no stage.
    #[error("operator {0:?} is in no stage")]
    NotPlaced(String),
    /// An operator that needs all its input, behind another of the same stage.
    #[error("operator {0:?} needs all its input, so it can't be in the stage that feeds it")]
    FedByOwnStage(String),
    /// A stage that is neither stateless nor stateful.
    #[error("stage {0:?} mixes operators that answer batch by batch with ones that need all their input first")]
    Mixed(String),
    /// Stages that feed each other.
    #[error("stage {0:?} feeds stages that feed it, or lies behind such a circle: split it")]
    Circle(String),
    /// No such stage.
    #[error("there is no stage {0:?}")]
    UnknownStage(String),
}

/// One stage: operators that run in one node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePlacement {
    /// Its name, which its queues and nodes bear.
    pub name: String,
    /// Its operators; `NAME:partial` is a maximizer's share of the work, ahead of the whole one.
    pub operators: Vec<String>,
    /// How many shards a stateful stage has: its keys are spread over them. 1 by default.
    pub shards: Option<u16>,
    /// How many replicas a stateless stage has: they compete for its batches. 1 by default.
    pub replicas: Option<u16>,
    /// Whether rows for aggregators and maximizers are combined before they leave the stage; so by default.
    #[serde(default = "yes")]
    pub combine: bool,
    /// Whether the stage runs where its chunks come in.
    #[serde(default)]
    pub hosted: bool,
}

fn yes() -> bool {
    true
}

/// The stages of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// In any order.
    #[serde(rename = "stage")]
    pub stages: Vec<StagePlacement>,
}

/// No stage has more shards or replicas than this.
const MOST: u16 = 1024;

impl Placement {
    /// Reads a placement file's text.
    ///
    /// # Errors
    /// Where it is not one, with the line; or its stages can't be right for any plan.
    pub fn parse(text: &str) -> Result<Self, PlacementError> {
        let placement: Placement = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        placement.check()?;
        Ok(placement)
    }

    /// Sets the replicas of every stage that has `replicas` in the file, or of one stage.
    ///
    /// # Errors
    /// Where there is no such stage, or the number is out of range.
    pub fn set_replicas(&mut self, stage: Option<&str>, replicas: u16) -> Result<(), PlacementError> {
        self.set(stage, |placed| {
            if stage.is_some() || placed.replicas.is_some() {
                placed.replicas = Some(replicas);
            }
        })
    }

    /// Sets the shards of every stage that has `shards` in the file, or of one stage.
    ///
    /// # Errors
    /// Where there is no such stage, or the number is out of range.
    pub fn set_shards(&mut self, stage: Option<&str>, shards: u16) -> Result<(), PlacementError> {
        self.set(stage, |placed| {
            if stage.is_some() || placed.shards.is_some() {
                placed.shards = Some(shards);
            }
        })
    }

    fn set(&mut self, stage: Option<&str>, set: impl Fn(&mut StagePlacement)) -> Result<(), PlacementError> {
        if let Some(name) = stage.filter(|name| self.stages.iter().all(|stage| stage.name != *name)) {
            return Err(PlacementError::UnknownStage(name.to_owned()));
        }
        self.stages.iter_mut().filter(|placed| stage.is_none_or(|name| placed.name == name)).for_each(set);
        self.check()
    }

    fn check(&self) -> Result<(), PlacementError> {
        let mut names = BTreeMap::new();
        for stage in &self.stages {
            let wrong = |what| Err(PlacementError::Stage { stage: stage.name.clone(), what });
            if names.insert(&stage.name, ()).is_some() {
                return Err(PlacementError::SameName(stage.name.clone()));
            }
            let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if stage.name.is_empty() || stage.name.len() > 64 || !stage.name.chars().all(usual) {
                return wrong("a name that is not 1 to 64 letters, digits, - and _");
            }
            if stage.operators.is_empty() {
                return wrong("no operators");
            }
            for (count, what) in [
                (stage.shards, "a number of shards outside 1 to 1024"),
                (stage.replicas, "a number of replicas outside 1 to 1024"),
            ] {
                if count.is_some_and(|count| count == 0 || count > MOST) {
                    return wrong(what);
                }
            }
        }
        Ok(())
    }
}

/// The error in one line: where, then what.
fn syntax(text: &str, error: &toml::de::Error) -> PlacementError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    PlacementError::Syntax(format!("line {line}: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = r#"
        [[stage]]
        name = "read"
        operators = ["rows"]
        hosted = true

        [[stage]]
        name = "filter"
        operators = ["year"]
        replicas = 2

        [[stage]]
        name = "sums"
        operators = ["sum"]
        shards = 2
    "#;

    #[test]
    fn only_stages_that_say_a_number_get_another() {
        let mut placement = Placement::parse(STAGES).unwrap();
        placement.set_replicas(None, 5).unwrap();
        placement.set_shards(None, 3).unwrap();
        let numbers: Vec<_> = placement.stages.iter().map(|stage| (stage.replicas, stage.shards)).collect();
        assert_eq!(numbers, [(None, None), (Some(5), None), (None, Some(3))]);
        placement.set_shards(Some("sums"), 1).unwrap();
        assert_eq!(placement.stages[2].shards, Some(1));
    }

    #[test]
    fn stages_that_are_not_there_and_numbers_out_of_range_are_refused() {
        let mut placement = Placement::parse(STAGES).unwrap();
        assert_eq!(placement.set_replicas(Some("none"), 1), Err(PlacementError::UnknownStage("none".into())));
        assert!(matches!(placement.set_shards(None, 0), Err(PlacementError::Stage { .. })));
        assert!(matches!(placement.set_replicas(None, 1025), Err(PlacementError::Stage { .. })));
    }

    #[test]
    fn errors_of_syntax_say_the_line() {
        let said = |text: &str| Placement::parse(text).unwrap_err().to_string();
        assert!(said("[[stage]]\nname = 3\n").contains("line 2: "));
        assert!(said("[[stage]]\nname = \"a\"\noperators = []\nspeed = 1\n").contains("speed"));
        assert!(said(&format!("{STAGES}[[stage")).lines().count() == 1);
    }
}
