//! What the ADS server counts, as metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::ads::{Counts, Reason};

#[derive(Debug)]
pub(super) struct Pushes(pub(super) Counts);

impl Collector for Pushes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pushes = self.0.pushes();
        encoder
            .encode_descriptor(
                "push_seconds",
                "From the publication of a change to its being sent to a proxy",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(pushes.sum, pushes.count, &pushes.buckets, None)?;
        let rejections = ConstCounter::new(self.0.rejections());
        let description = "Resources that a proxy did not take";
        let counter = MetricType::Counter;
        rejections.encode(encoder.encode_descriptor(
            "rejections",
            description,
            None,
            counter,
        )?)?;
        let mut refused = encoder.encode_descriptor(
            "refused_clients",
            "Clients that were not served",
            None,
            MetricType::Counter,
        )?;
        Reason::ALL.into_iter().try_for_each(|reason| {
            let labels = [("why", name(reason))];
            let count = ConstCounter::new(self.0.refused(reason));
            count.encode(refused.encode_family(&labels)?)
        })
    }
}

const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Token => "token",
        Reason::Claim => "claim",
        Reason::Connections => "connections",
    }
}
