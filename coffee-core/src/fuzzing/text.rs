//! Placement files, and values as texts and as bytes.

use std::sync::{Arc, LazyLock};

use super::{decoded, parsed};
use crate::{
    frame::JobId,
    plan::{Placement, Plan, Topology},
    sales::sales_plan,
    value::{CivilTime, Money, Text, TimeOfDay, Total, YearHalf, YearMonth},
};

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| Arc::new(sales_plan().unwrap().plan));

/// The text of a placement file, for the plan of the coffee shops.
pub fn placement(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut placement = match Placement::parse(text) {
        Ok(placement) => placement,
        Err(error) => return assert_eq!(error.to_string().lines().count(), 1, "{error:?}"),
    };
    if let Ok(topology) = Topology::new(PLAN.clone(), &placement) {
        assert_eq!(topology.stages().len(), placement.stages.len());
        assert_eq!(Topology::new(PLAN.clone(), &placement).unwrap().version(), topology.version());
        assert!(topology.plan().sinks().all(|sink| topology.port_of(sink).is_some()));
    }
    placement.set_shards(None, 1024).unwrap();
    placement.set_replicas(None, 1).unwrap();
    assert!(placement.set_replicas(None, 0).is_err() || placement.stages.iter().all(|stage| stage.replicas.is_none()));
}

/// A value: as a text, and as bytes of each type.
pub fn values(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        parsed::<Money>(text);
        parsed::<CivilTime>(text);
        parsed::<TimeOfDay>(text);
        if let Some(job) = parsed::<JobId>(text) {
            assert_eq!(job.to_string(), text, "a job has one text");
        }
    }
    let shown = [
        decoded::<Money>(bytes).map(|value| value.to_string()),
        decoded::<Total>(bytes).map(|value| value.to_string()),
        decoded::<Text>(bytes).map(|value| value.to_string()),
        decoded::<YearMonth>(bytes).map(|value| value.to_string()),
        decoded::<YearHalf>(bytes).map(|value| value.to_string()),
    ];
    drop(shown);
    if let Some(time) = decoded::<CivilTime>(bytes) {
        assert_eq!(parsed(&time.to_string()), Some(time));
        assert_eq!(time.year(), time.year_month().year());
        assert_eq!(time.year(), time.year_half().year());
    }
    if let Some(time) = decoded::<TimeOfDay>(bytes) {
        assert_eq!(parsed(&time.to_string()), Some(time));
    }
}
