//! What a waypoint changes for the services that ask for it: policies at their pods see it in the place of the client, HTTP
//! rules of ports that it passes on end, and some clients go past it.

use std::fmt;

use serde::Serialize;

use self::asking::Asking;
use self::rules::Rules;
use super::Report;
use crate::diagnostic::Place;
use crate::index::Objects;
use crate::manifest::{Object, ObjectRef};
use crate::model::Model;

mod asking;
mod led;
mod past;
mod ports;
mod rules;
mod seen;
#[cfg(feature = "kubernetes")]
mod told;

pub use led::{PlannedLead, PoliciesOf};
pub use past::{PastIt, Way};
pub use ports::HttpPort;
pub use seen::{Effect, SeenPolicy};
#[cfg(feature = "kubernetes")]
pub(crate) use told::told;

/// The findings of a check, and what waypoints change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    #[serde(flatten)]
    pub report: Report,
    pub plan: Vec<Planned>,
    /// What sidecars would be told, by the Gateways that they are led to.
    pub sidecars: Vec<PlannedLead>,
}

/// A service that asks for a waypoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub service: ObjectRef,
    /// Where it stands.
    pub place: String,
    /// The Gateway.
    pub waypoint: ObjectRef,
    /// Whom its pods see in the place of a client, as policies write it.
    pub identity: String,
    /// Policies at its pods that ask who a client is.
    pub policies: Vec<SeenPolicy>,
    /// Ports that others take for HTTP, and that are passed on.
    pub http_ports: Vec<HttpPort>,
    /// Who does not come through the waypoint.
    pub past: Vec<PastIt>,
}

impl Plan {
    pub(crate) fn of(
        report: Report,
        model: &Model,
        (objects, root_namespace): (&Objects, &str),
    ) -> Self {
        Self {
            plan: planned(model, (objects, root_namespace)),
            sidecars: led::planned(model, (objects, root_namespace)),
            report,
        }
    }

    /// What it says of a namespace, and of what stands in files.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Self {
        let own = self
            .plan
            .iter()
            .filter(|it| *it.service.namespace == *namespace);
        let led = self.sidecars.iter();
        let led = led.filter(|it| it.is_about(namespace));
        Self {
            report: self.report.of_namespace(namespace),
            plan: own.cloned().collect(),
            sidecars: led.cloned().collect(),
        }
    }

    fn summary(&self) -> String {
        let of = |count: fn(&Planned) -> usize| self.plan.iter().map(count).sum::<usize>();
        let policies = of(|it| it.policies.len());
        let ports = of(|it| it.http_ports.len());
        let past = of(|it| it.past.len());
        let services = self.plan.len();
        format!(
            "asking for a waypoint: {services}; policies that see it: {policies}; ports without HTTP rules: {ports}; ways past it: {past}"
        )
    }
}

/// What waypoints change, for each service that asks for one.
pub(crate) fn planned(model: &Model, (objects, root_namespace): (&Objects, &str)) -> Vec<Planned> {
    let waypoints = model.waypoints.iter();
    // Those that sidecars lead to take nothing away from ztunnel.
    let waypoints = waypoints.filter(|waypoint| waypoint.sidecars.is_none());
    let sidecars = past::with_sidecars(objects);
    let rules = Rules::of(objects);
    let planned = waypoints.flat_map(|waypoint| {
        let services = model.services.iter();
        let asking = services.filter(|it| waypoint.asking.contains(&it.source.id));
        let planned = asking.map(|service| {
            let asking = Asking {
                service,
                waypoint,
                objects,
                root_namespace,
                sidecars: &sidecars,
                rules: &rules,
            };
            of_service(&asking)
        });
        planned.collect::<Vec<_>>()
    });
    planned.collect()
}

fn of_service(asking: &Asking<'_>) -> Planned {
    let service = &asking.service.source;
    let (policies, http_ports) = match asking.is_reached() {
        true => (seen::policies(asking), ports::http(asking)),
        // Nothing comes through the waypoint.
        false => (vec![], vec![]),
    };
    Planned {
        service: service.id.clone(),
        place: place(service),
        waypoint: asking.waypoint.gateway.id.clone(),
        identity: asking.identity().to_owned(),
        policies,
        http_ports,
        past: past::ways(asking),
    }
}

fn place(object: &Object) -> String {
    Place::of(&object.file, object.at).to_string()
}

/// The findings, then each service.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.report.diagnostics {
            writeln!(f, "{diagnostic}\n")?;
        }
        for planned in &self.plan {
            writeln!(f, "{planned}")?;
        }
        for led in &self.sidecars {
            writeln!(f, "{led}")?;
        }
        write!(f, "{}\n{}", self.summary(), self.report.summary())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            place,
            waypoint,
            identity,
            ..
        } = self;
        writeln!(f, "{service} ({place}) behind {waypoint}")?;
        if !self.policies.is_empty() {
            writeln!(f, "  policies at its pods, which see {identity}")?;
        }
        for policy in &self.policies {
            writeln!(f, "{policy}")?;
        }
        if !self.http_ports.is_empty() {
            writeln!(
                f,
                "  ports that are passed on as TCP: what says how HTTP is routed or authorized does not act there"
            )?;
        }
        for port in &self.http_ports {
            writeln!(f, "    {port}")?;
        }
        if !self.past.is_empty() {
            writeln!(f, "  who does not come through it")?;
        }
        for past in &self.past {
            writeln!(f, "{past}")?;
        }
        Ok(())
    }
}
