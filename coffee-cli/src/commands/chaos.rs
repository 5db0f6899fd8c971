//! `chaos`: random nodes of a cluster are killed or made to hang, to see that it does no harm.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use coffee_core::plan::Topology;
use coffee_nodes::chaos::{Action, ChaosError, ChaosOptions, Kinds, Target, chaos, random_seed};

use crate::{application::Application, command_line::Context, duration, failure::Failure, output, signals};

/// Kills random nodes of a running cluster by SIGKILL, or makes them hang by SIGSTOP
///
/// Prints a line for each: when, what, which node, which process. Ends after --for, or by SIGTERM or SIGINT, with a summary on
/// stderr. Whoever runs the cluster starts the nodes again; hanging ones only where monitors do.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["state", "compose"]))]
#[command(
    after_help = "Example:\n  {program} chaos --state state --every 2s --for 60s\n  {program} chaos --compose docker-compose.yml --kinds gateway,results,{stage}"
)]
pub struct ChaosArgs {
    /// The state folder of a running `{program} up`
    #[arg(long, env = "COFFEE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// The file of a running docker-compose; needs to be allowed to use Docker
    #[arg(long, env = "COFFEE_COMPOSE", value_name = "FILE")]
    compose: Option<PathBuf>,
    /// What is done to them, kill or hang; of both one each time, by the seed
    #[arg(long, env = "COFFEE_ACTIONS", value_name = "LIST", value_delimiter = ',', default_value = "kill")]
    actions: Vec<Action>,
    /// How long it is until the first is struck, and then the next
    #[arg(long, env = "COFFEE_EVERY", value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    every: Duration,
    /// Which ones: gateway, query, results, monitor, leader (the monitor that leads), reader, filter, aggregator, maximizer, joiner,
    /// or names of stages [default: all]
    #[arg(long, env = "COFFEE_KINDS", value_name = "LIST", value_delimiter = ',')]
    kinds: Vec<String>,
    /// The same seed strikes the same nodes, where there are the same [default: a random one, which the summary names]
    #[arg(long, env = "COFFEE_SEED", value_name = "S")]
    seed: Option<u64>,
    /// When to end [default: never]
    #[arg(long = "for", env = "COFFEE_FOR", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,
    /// The cluster's placement, which tells what its stages do
    #[arg(long, env = "COFFEE_PLACEMENT")]
    placement: String,
}

pub fn run(args: &ChaosArgs, context: &Context<'_>) -> Result<(), Failure> {
    let options = args.options(context.application)?;
    let stop = signals::stop_on_signals()?;
    let tally = chaos(&options, &stop, |strike| {
        // Whoever started it may not listen.
        let _ = output::print(format!("{strike}\n").as_bytes());
    });
    let tally = tally.map_err(|error| failure(error, context.application.name()))?;
    output::print_error(&format!("{tally}; seed {}\n", options.seed));
    Ok(())
}

impl ChaosArgs {
    fn options(&self, application: &Application) -> Result<ChaosOptions, Failure> {
        let kinds = self.kinds(application)?;
        let wanted: BTreeSet<String> = self.kinds.iter().map(|word| word.trim().to_owned()).collect();
        let words = kinds.words();
        if let Some(unknown) = wanted.iter().find(|word| !words.contains(word.as_str())) {
            let known = words.into_iter().collect::<Vec<_>>().join(", ");
            let wrong = format!("no node of the placement {} is one of {unknown:?}", self.placement);
            return Err(Failure::usage("--kinds", wrong).advise(format!("there are: {known}")));
        }
        let target = match (&self.state, &self.compose) {
            (_, Some(file)) => Target::Compose(file.clone()),
            (Some(state), None) => Target::State(state.clone()),
            (None, None) => return Err(Failure::usage("--state", "neither it nor --compose is given")),
        };
        if matches!(target, Target::Compose(_)) && wanted.contains("leader") {
            let advice = "name monitor instead";
            return Err(Failure::usage("--kinds", "which monitor leads is not known of containers").advise(advice));
        }
        let seed = self.seed.unwrap_or_else(random_seed);
        let (actions, every, time) = (self.actions.clone(), self.every, self.time);
        Ok(ChaosOptions { target, actions, kinds, wanted, seed, every, time })
    }

    fn kinds(&self, application: &Application) -> Result<Kinds, Failure> {
        let plan = application.plan()?;
        let placement = application.placement_named(&self.placement, &plan)?;
        // What can be no cluster's placement is refused as there.
        Topology::new(plan.clone(), &placement).map_err(|error| Failure::usage(&self.placement, error))?;
        Ok(Kinds::of(&plan, &placement))
    }
}

fn failure(error: ChaosError, program: &str) -> Failure {
    let advice = match &error {
        ChaosError::State { .. } | ChaosError::NotRunning(_) => "start it, or name that of one that runs",
        ChaosError::Strike { .. } => "run it as the user whose processes they are",
        _ => "see that Docker works, and that you may use it",
    };
    Failure::work(format!("{program} chaos"), error).advise(advice)
}
