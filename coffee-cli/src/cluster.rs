//! What all commands of a cluster's processes have in common: which broker, which cluster, which nodes there are.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use clap::{Args, ValueEnum};
use coffee_core::plan::Topology;
use coffee_mom::QueueKind;
use coffee_nodes::cluster::{ClusterNode, Names, roster};

use crate::{application::Application, failure::Failure};

/// Which cluster, and what it is made of. The same for all of its processes.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// A TOML file with values for what is given neither as a flag nor by the environment; its keys are the flags' names
    #[arg(long, env = "COFFEE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The RabbitMQ that the nodes meet at; better given by the environment or a file, as arguments can be seen by all users
    #[arg(long, env = "COFFEE_BROKER", value_name = "amqp://USER:PASSWORD@HOST/VHOST", hide_env_values = true)]
    pub broker: String,
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// The folder for what is to outlive the process; made if it is not there
    #[arg(long, env = "COFFEE_STATE", value_name = "DIR", default_value = "state")]
    pub state: PathBuf,
}

/// What a cluster is called, and which nodes it has.
#[derive(Clone, Debug, Args)]
pub struct LayoutArgs {
    /// The cluster's name, which those of its queues begin with
    #[arg(long, env = "COFFEE_NAME", value_name = "NAME")]
    pub name: String,
    /// Which operators run together: {placements}
    #[arg(long, env = "COFFEE_PLACEMENT")]
    pub placement: String,
    /// How many replicas the stateless stages have, all (N) or some (STAGE=N,...); over the placement's
    #[arg(long, env = "COFFEE_REPLICAS", value_name = "N|STAGE=N,...", default_value = "")]
    pub replicas: Counts,
    /// How many shards the stateful stages have, all (N) or some (STAGE=N,...); over the placement's
    #[arg(long, env = "COFFEE_SHARDS", value_name = "N|STAGE=N,...", default_value = "")]
    pub shards: Counts,
    /// How the broker keeps the stages' queues
    #[arg(long, env = "COFFEE_QUEUES", value_enum, value_name = "KIND", default_value_t)]
    pub queues: Queues,
}

/// How the broker keeps the stages' queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Queues {
    /// By one of its nodes; they survive the death of its process
    #[default]
    Classic,
    /// By a majority of its nodes, on disk before it is confirmed; they survive a loss of power, and are slower
    Quorum,
}

impl Queues {
    fn name(self) -> &'static str {
        match self {
            Queues::Classic => "classic",
            Queues::Quorum => "quorum",
        }
    }
}

impl LayoutArgs {
    /// What it has at its broker.
    pub fn names(&self) -> Result<Names, Failure> {
        let names = Names::new(&self.name).map_err(|error| Failure::usage(format!("--name {}", self.name), error))?;
        Ok(names.queues(match self.queues {
            Queues::Classic => QueueKind::Classic,
            Queues::Quorum => QueueKind::Quorum,
        }))
    }

    /// The plan under the placement.
    pub fn topology(&self, application: &Application) -> Result<Arc<Topology>, Failure> {
        let wrong = |error| Failure::usage(&self.placement, error);
        let plan = application.plan()?;
        let mut placement = application.placement_named(&self.placement, &plan)?;
        self.replicas
            .0
            .iter()
            .try_for_each(|(stage, count)| placement.set_replicas(stage.as_deref(), *count))
            .map_err(wrong)?;
        self.shards
            .0
            .iter()
            .try_for_each(|(stage, count)| placement.set_shards(stage.as_deref(), *count))
            .map_err(wrong)?;
        Topology::new(plan, &placement).map(Arc::new).map_err(wrong)
    }

    /// The nodes of a cluster with so many gateways.
    pub fn nodes(&self, application: &Application, gateways: u16) -> Result<Vec<ClusterNode>, Failure> {
        roster(&*self.topology(application)?, gateways).map_err(|error| Failure::usage(&self.placement, error))
    }

    /// The same for another process, but for name and placement, which it may have in another form.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COFFEE_REPLICAS", self.replicas.to_string()),
            ("COFFEE_SHARDS", self.shards.to_string()),
            ("COFFEE_QUEUES", self.queues.name().to_owned()),
        ]
    }
}

/// Numbers for all stages, or for some by name; later ones win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(Option<String>, u16)>);

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |text: &str| match text.parse::<u16>() {
            Ok(count) if (1..=1024).contains(&count) => Ok(count),
            _ => Err(format!("{text:?} is no number between 1 and 1024")),
        };
        let entry = |entry: &str| match entry.split_once('=') {
            Some((stage, number)) => Ok((Some(stage.trim().to_owned()), count(number.trim())?)),
            None => Ok((None, count(entry)?)),
        };
        text.split(',')
            .map(str::trim)
            .filter(|entry_text| !entry_text.is_empty())
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Counts)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.0.iter().map(|(stage, count)| match stage {
            Some(stage) => format!("{stage}={count}"),
            None => count.to_string(),
        });
        f.write_str(&entries.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_for_all_or_by_stage() {
        let counts: Counts = "2, filter-year=3".parse().unwrap();
        assert_eq!(counts.0, [(None, 2), (Some("filter-year".to_owned()), 3)]);
        assert_eq!(counts.to_string(), "2,filter-year=3");
        assert_eq!("".parse(), Ok(Counts::default()));
        for wrong in ["0", "1025", "x", "a=", "a=0", "-1"] {
            assert!(wrong.parse::<Counts>().is_err(), "{wrong}");
        }
    }
}
