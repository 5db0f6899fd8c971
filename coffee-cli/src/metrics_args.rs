//! Where a node's metrics are fetched.

use std::net::SocketAddr;

use clap::Args;
use coffee_nodes::{metrics::MetricsServer, statistics::NodeStatistics};
use log::info;

use crate::failure::Failure;

/// What each process of a cluster is told of its metrics.
#[derive(Clone, Debug, Args)]
pub struct MetricsArgs {
    /// Where Prometheus fetches the node's metrics, by HTTP at /metrics; for a network of one's own [default: nowhere]
    #[arg(long, env = "COFFEE_METRICS", value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,
}

impl MetricsArgs {
    /// Answers there from now on, until what it returns is dropped.
    pub fn serve(
        &self,
        sample: impl Fn() -> NodeStatistics + Send + Sync + 'static,
    ) -> Result<Option<MetricsServer>, Failure> {
        let Some(address) = self.metrics else { return Ok(None) };
        let server = MetricsServer::start(address, sample)
            .map_err(|error| Failure::work(format!("--metrics {address}"), error))?;
        info!("metrics at http://{}/metrics", server.address());
        Ok(Some(server))
    }
}
