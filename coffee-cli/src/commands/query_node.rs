//! `query-node`: mints jobs and knows how far they are.

use std::time::Duration;

use clap::Args;
use coffee_nodes::{
    cluster::{ClusterNode, GRACE},
    query::{QueryNode, QueryOptions},
};
use log::warn;

use crate::{
    command_line::Context,
    duration,
    failure::Failure,
    serve::{LOOK_AROUND, ServeArgs, serve},
    size,
    store::StoreFlags,
};

/// Runs the query node: it takes jobs, lets them run in turn, and keeps how far they are
///
/// A cluster has one. It works until SIGTERM or SIGINT, and then stops in order.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} query-node --state state/query-node --running 8")]
pub struct QueryNodeArgs {
    #[command(flatten)]
    flags: QueryFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What only the query node is told.
#[derive(Clone, Debug, Args)]
pub struct QueryFlags {
    /// How long a client may be away before its upload is complete; then its job is cancelled. Below 10s, a broker that was away
    /// can make it too short
    #[arg(long, env = "COFFEE_CLIENT_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    client_timeout: Duration,
    /// How long nothing may go on with a job that waits neither for its client nor for the broker; then it fails
    #[arg(long, env = "COFFEE_PROGRESS_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    progress_timeout: Duration,
    /// How many jobs run at a time; the others wait. With 1, one client's job can hold the only place
    #[arg(long, env = "COFFEE_RUNNING", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    running: u16,
    /// How many jobs may wait; more are refused
    #[arg(long, env = "COFFEE_WAITING", value_name = "N", default_value_t = 64)]
    waiting: u16,
    /// How many jobs of one client may wait or run, or have ended and not been forgotten by all nodes; more are refused. Operators may
    /// have any
    #[arg(long, env = "COFFEE_JOBS_PER_CLIENT", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    jobs_per_client: u16,
    /// How many bytes the files of a client's job may have, on its disk: a .gz file may hold up to 1032 times as many; operators' any
    /// [default: any]
    #[arg(long, env = "COFFEE_JOB_BYTES", value_name = "BYTES", value_parser = size::parse)]
    job_bytes: Option<u64>,
}

impl QueryFlags {
    /// The same for another process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("COFFEE_CLIENT_TIMEOUT", duration::show(self.client_timeout)),
            ("COFFEE_PROGRESS_TIMEOUT", duration::show(self.progress_timeout)),
            ("COFFEE_RUNNING", self.running.to_string()),
            ("COFFEE_WAITING", self.waiting.to_string()),
            ("COFFEE_JOBS_PER_CLIENT", self.jobs_per_client.to_string()),
        ];
        pairs.extend(self.job_bytes.map(|bytes| ("COFFEE_JOB_BYTES", bytes.to_string())));
        pairs
    }
}

pub fn run(args: &QueryNodeArgs, context: &Context<'_>) -> Result<(), Failure> {
    let check = context.application.check_parameters();
    let QueryFlags { client_timeout, progress_timeout, running, waiting, jobs_per_client, job_bytes } = args.flags;
    serve(&args.serve, context.application, &ClusterNode::Query, "query node", |server| {
        let options = QueryOptions::new(&args.serve.cluster.state)
            .client_timeout(client_timeout)
            .progress_timeout(progress_timeout)
            .max_running(running.into())
            .max_waiting(waiting.into())
            .jobs_per_client(jobs_per_client.into())
            .job_bytes(job_bytes)
            .volatile(args.store.volatile)
            .pause(args.store.retry_pause)
            .stop(server.stop.clone())
            .pulses(server.pulses.clone())
            .check(move |parameters| check(parameters));
        let node = QueryNode::start(server.broker.clone(), &server.names, server.topology.clone(), options)?;
        server.ready("");
        while !server.stop.wait(LOOK_AROUND) {
            if let Some(end) = node.ended() {
                return Err(end.into());
            }
        }
        if let Err(error) = node.stop(server.stop.deadline(GRACE)) {
            warn!("not all calls were answered: {error}"); // what was answered is kept, the others come again
        }
        Ok(())
    })
}
