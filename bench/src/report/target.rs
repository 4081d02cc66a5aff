//! What Meltemi is allowed to cost, and whether a run shows that it does.

use std::fmt;

use super::ratio::{Ratio, least};
use crate::contender::Kind;
use crate::suite::{Cell, Row, RowPlan, Shape};
use crate::wire::{Command, Request};

/// A bound for the cost of a request, as a multiple of what it costs another contender. Where the load
/// is paced the cost is the latency that a contender adds ([`added`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// It costs at most so many times what it costs there.
    AtMost(f64, Kind),
    /// It costs there at least so many times as much.
    PeerAtLeast(Kind, f64),
    /// It answers at least so many times as many requests a second.
    Faster(Kind, f64),
    /// None: what it costs beside the other is all that is asked.
    Beside(Kind),
}

/// CPUs that a load with two workers takes: theirs, the generator's and the upstream's.
const CPUS_OF_TWO: usize = 4;

impl Target {
    pub(super) fn of(self) -> Kind {
        match self {
            Self::AtMost(_, of)
            | Self::PeerAtLeast(of, _)
            | Self::Faster(of, _)
            | Self::Beside(of) => of,
        }
    }

    /// The ratio that the bound is about.
    fn ratio(self, row: &Row, own: &Cell, other: &Cell) -> Option<Ratio> {
        let cost = |cell| match self {
            Self::Faster(..) => turns(cell),
            _ if row.rate.is_some() => added(row, cell),
            _ => cell.cost_us.clone(),
        };
        let (own, other) = (cost(own), cost(other));
        match self {
            Self::AtMost(..) | Self::Beside(_) => Ratio::between(&own, &other),
            Self::PeerAtLeast(..) | Self::Faster(..) => Ratio::between(&other, &own),
        }
    }

    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most, _) => ratio <= most,
            Self::PeerAtLeast(_, least) | Self::Faster(_, least) => ratio >= least,
            Self::Beside(_) => true,
        }
    }

    fn verdict(self, ratio: &Ratio, cpus: usize) -> Verdict {
        let met = self.is_met_by(ratio.value);
        let agrees = |&ratio: &f64| self.is_met_by(ratio) == met;
        match (self, ratio.range) {
            (Self::Beside(_), _) => Verdict::Unbound,
            (Self::Faster(..), _) if !met && cpus < CPUS_OF_TWO => Verdict::TooFewCpus,
            (_, Some((low, high))) if ![low, high].iter().all(agrees) => Verdict::Noisy,
            (_, Some(_)) if met => Verdict::Held,
            (_, Some(_)) => Verdict::Missed,
            (_, None) => Verdict::TooFewRounds,
        }
    }
}

/// Microseconds from one request to the next.
fn turns(cell: &Cell) -> Vec<f64> {
    let rates = cell.speed.iter().map(|speed| speed.requests_per_second);
    rates.map(|rate| 1e6 / rate).collect()
}

/// What a contender adds to the 99.9th percentile of the latency without any proxy, in microseconds;
/// nothing where that was not measured.
pub(super) fn added(row: &Row, cell: &Cell) -> Vec<f64> {
    let latencies = |cell: &Cell| -> Vec<f64> { cell.speed.iter().map(|it| it.p999_us).collect() };
    let direct = row.cells.iter().find(|cell| cell.contender == Kind::Direct);
    let Some(direct) = direct.and_then(|direct| least(&latencies(direct))) else {
        return Vec::new();
    };
    let latencies = latencies(cell).into_iter();
    // The clock of latencies is no finer.
    latencies.map(|it| (it - direct).max(0.1)).collect()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most, of) => write!(f, "at most {most:.2} × {of}"),
            Self::PeerAtLeast(peer, least) => write!(f, "{peer} at least {least:.2} × it"),
            Self::Faster(of, least) => write!(f, "requests/s at least {least:.2} × {of}"),
            Self::Beside(of) => write!(f, "beside {of}"),
        }
    }
}

/// What a run says about a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// So say the run and each third of it.
    Held,
    /// So say the run and each third of it.
    Missed,
    /// The thirds of the run differ about it.
    Noisy,
    /// There are no thirds.
    TooFewRounds,
    /// Missed, on a machine that cannot show more.
    TooFewCpus,
    /// There is no target.
    Unbound,
}

impl Verdict {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Noisy | Self::TooFewRounds | Self::TooFewCpus)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Missed => "missed",
            Self::Noisy => "too noisy to say",
            Self::TooFewRounds => "too few rounds to say",
            Self::TooFewCpus => "no CPUs free for it here: it takes 4 or more",
            Self::Unbound => "no target",
        })
    }
}

/// A target of a row that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) contender: Kind,
    pub(super) target: Target,
    pub(super) ratio: Ratio,
    pub(super) verdict: Verdict,
}

/// The targets of a row whose both sides were measured, on a machine with so many CPUs.
pub(super) fn judge(row: &Row, cpus: usize) -> Vec<Judged> {
    let of = |kind| row.cells.iter().find(|cell| cell.contender == kind);
    let mut judged = Vec::new();
    for cell in &row.cells {
        for target in targets(cell.contender, &row.plan) {
            let ratio = of(target.of()).and_then(|of| target.ratio(row, cell, of));
            judged.extend(ratio.map(|ratio| Judged {
                contender: cell.contender,
                target,
                ratio,
                verdict: target.verdict(&ratio, cpus),
            }));
        }
    }
    judged
}

/// What `kind` may cost in `row`; other contenders than Meltemi may cost what they do.
fn targets(kind: Kind, row: &RowPlan) -> Vec<Target> {
    if !kind.is_meltemi() {
        return Vec::new();
    }
    match (kind, row.shape) {
        (Kind::MeltemiTwoWorkers, Shape::Open { .. }) => {
            vec![Target::Faster(Kind::Meltemi, 1.8)]
        }
        (Kind::MeltemiLog | Kind::MeltemiLogSampled, _) => vec![Target::Beside(Kind::Meltemi)],
        _ if kind.is_beside_meltemi() => Vec::new(),
        (_, Shape::Churn { .. }) => vec![Target::AtMost(1.5, ruler(kind, row))],
        (_, Shape::Half { of: Kind::Envoy }) => vec![Target::PeerAtLeast(Kind::Envoy, 1.0)],
        (_, Shape::Half { .. }) => vec![Target::AtMost(2.0, Kind::Floor)],
        (Kind::Meltemi, Shape::Open { .. }) => {
            let mut targets = costs(kind, row);
            targets.push(Target::AtMost(1.03, Kind::MeltemiUnmetered));
            targets
        }
        (_, Shape::Open { .. }) => costs(kind, row),
    }
}

/// With a connection for each client it writes, and opens, as often as haproxy does.
fn ruler(kind: Kind, row: &RowPlan) -> Kind {
    match row.request {
        Request::Thrift { .. } if kind != Kind::MeltemiPipeline => Kind::Haproxy,
        _ => Kind::Floor,
    }
}

fn costs(kind: Kind, row: &RowPlan) -> Vec<Target> {
    match row.request {
        _ if kind.weighs_policy() => policy(kind, row),
        request if request.is_large() => vec![Target::AtMost(1.1, Kind::Floor)],
        Request::Redis(command) => redis(command, row),
        Request::Thrift { .. } if ruler(kind, row) == Kind::Haproxy && !row.is_serial() => {
            let most = if row.is_deep() { 1.5 } else { 1.0 };
            vec![Target::AtMost(most, Kind::Haproxy)]
        }
        Request::Thrift { .. } | Request::Dubbo { .. } => {
            let (floor, envoy) = match row.is_deep() {
                _ if row.is_serial() => (1.15, 1.3),
                false => (1.25, 3.0),
                true => (2.0, 35.0),
            };
            vec![
                Target::AtMost(floor, Kind::Floor),
                Target::PeerAtLeast(Kind::Envoy, envoy),
            ]
        }
    }
}

/// What a thousand routes, timeouts, retries, a limit and outlier detection may cost beside one route
/// with none of it, where each request is a turn. (Where many share one, a microsecond is the measure:
/// the table has the difference.)
fn policy(kind: Kind, row: &RowPlan) -> Vec<Target> {
    match kind {
        Kind::MeltemiPolicy if !row.is_deep() => vec![Target::AtMost(1.15, Kind::MeltemiCatchAll)],
        _ => Vec::new(),
    }
}

fn redis(command: Command, row: &RowPlan) -> Vec<Target> {
    match command {
        Command::GetLarge | Command::SetLarge => Vec::new(),
        Command::Mget => vec![Target::PeerAtLeast(Kind::Nutcracker, 1.0)],
        _ if row.is_deep() => vec![
            Target::AtMost(2.5, Kind::Floor),
            Target::PeerAtLeast(Kind::Envoy, 4.0),
            Target::PeerAtLeast(Kind::Nutcracker, 1.0),
        ],
        _ if row.is_serial() => vec![Target::AtMost(1.25, Kind::Floor)],
        _ => vec![
            Target::AtMost(1.25, Kind::Floor),
            Target::PeerAtLeast(Kind::Envoy, 1.5),
            Target::PeerAtLeast(Kind::Haproxy, 1.5),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Speed;

    #[test]
    fn targets_are_those_that_were_set() {
        let dubbo = Request::Dubbo { argument: 128 };
        let thrift = Request::Thrift { argument: 128 };
        let large = Request::Dubbo { argument: 1 << 20 };
        let [get, mget] = [Command::Get, Command::Mget].map(Request::Redis);
        for (kind, request, shape, expected) in [
            (Kind::Meltemi, dubbo, "serial", "1.15 floor, envoy 1.3"),
            (Kind::MeltemiGroup, dubbo, "64x16", "2 floor, envoy 35"),
            (Kind::Meltemi, thrift, "serial", "1.15 floor, envoy 1.3"),
            (Kind::Meltemi, thrift, "64x1", "1 haproxy"),
            (Kind::Meltemi, thrift, "64x16", "1.5 haproxy"),
            (Kind::MeltemiPipeline, thrift, "64x1", "1.25 floor, envoy 3"),
            (Kind::MeltemiPolicy, dubbo, "64x1", "1.15 meltemi-catch-all"),
            (Kind::MeltemiPolicy, dubbo, "64x16", ""),
            (Kind::Meltemi, get, "serial", "1.25 floor"),
            (
                Kind::Meltemi,
                get,
                "50x1",
                "1.25 floor, envoy 1.5, haproxy 1.5",
            ),
            (
                Kind::Meltemi,
                get,
                "50x64",
                "2.5 floor, envoy 4, nutcracker 1",
            ),
            (Kind::Meltemi, mget, "50x1", "nutcracker 1"),
            (Kind::Envoy, get, "50x1", ""),
            (Kind::Meltemi, large, "4x1", "1.1 floor"),
            (Kind::Meltemi, dubbo, "churn1000", "1.5 floor"),
            (Kind::Meltemi, thrift, "churn1000", "1.5 haproxy"),
            (Kind::MeltemiPipeline, thrift, "churn1000", "1.5 floor"),
            (Kind::Meltemi, dubbo, "half-meltemi", "2 floor"),
            (Kind::Meltemi, dubbo, "half-envoy", "envoy 1"),
            (Kind::MeltemiTwoWorkers, get, "50x64", "1.8 faster meltemi"),
            (Kind::MeltemiLog, thrift, "64x16", "meltemi"),
            (Kind::MeltemiUnmetered, get, "50x1", ""),
        ] {
            let row = RowPlan {
                shape: shape.parse().unwrap(),
                request,
                endpoints: 1,
            };
            let targets = targets(kind, &row)
                .into_iter()
                .filter_map(|target| match target {
                    Target::AtMost(_, Kind::MeltemiUnmetered) => None,
                    Target::AtMost(most, of) => Some(format!("{most} {of}")),
                    Target::PeerAtLeast(peer, least) => Some(format!("{peer} {least}")),
                    Target::Faster(of, least) => Some(format!("{least} faster {of}")),
                    Target::Beside(of) => Some(of.to_string()),
                });
            let shown = targets.collect::<Vec<_>>().join(", ");
            assert_eq!(shown, expected, "{kind} {request} {shape}");
        }
    }

    #[test]
    fn a_verdict_takes_the_whole_run() {
        let most = Target::AtMost(1.25, Kind::Floor);
        let least = Target::PeerAtLeast(Kind::Envoy, 3.0);
        let faster = Target::Faster(Kind::Meltemi, 1.8);
        for (target, value, range, expected) in [
            (most, 1.2, Some((1.1, 1.25)), Verdict::Held),
            (most, 1.2, Some((1.1, 1.3)), Verdict::Noisy),
            (most, 1.3, Some((1.26, 1.4)), Verdict::Missed),
            (most, 1.3, Some((1.2, 1.4)), Verdict::Noisy),
            (most, 1.2, None, Verdict::TooFewRounds),
            (least, 3.5, Some((3.0, 4.0)), Verdict::Held),
            (least, 2.0, Some((1.0, 2.9)), Verdict::Missed),
            (faster, 1.9, Some((1.8, 2.0)), Verdict::Held),
            (faster, 1.1, Some((1.0, 1.2)), Verdict::TooFewCpus),
        ] {
            assert_eq!(
                target.verdict(&Ratio { value, range }, 2),
                expected,
                "{target} {value}"
            );
        }
    }

    #[test]
    fn what_a_contender_adds_is_beyond_the_least_without_one() {
        let cell = |contender, p999_us: [f64; 3]| Cell {
            contender,
            cost_us: Vec::new(),
            speed: p999_us
                .map(|p999_us| Speed {
                    requests_per_second: 1000.0,
                    p50_us: 1.0,
                    p99_us: 1.0,
                    p999_us,
                })
                .into(),
        };
        let row = Row {
            plan: RowPlan {
                shape: "half-meltemi".parse().unwrap(),
                request: Request::Dubbo { argument: 128 },
                endpoints: 1,
            },
            rate: Some(1000.0),
            cells: vec![
                cell(Kind::Direct, [50.0, 40.0, 90.0]),
                cell(Kind::Floor, [60.0, 70.0, 60.0]),
                cell(Kind::Meltemi, [90.0, 85.0, 300.0]),
            ],
        };
        let judged = judge(&row, 2);
        let [judged] = judged.as_slice() else {
            panic!("{judged:?}");
        };
        assert_eq!(judged.ratio.value, 45.0 / 20.0);
        assert_eq!(judged.verdict, Verdict::Noisy);
    }
}
