//! What Meltemi is allowed to cost, and whether a run shows that it does.

use std::fmt;

use super::ratio::Ratio;
use crate::contender::Kind;
use crate::suite::{Row, RowPlan};
use crate::wire::{Command, Request};

/// A bound for the cost of a request, as a multiple of what it costs another contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// It costs at most so many times what it costs there.
    AtMost(f64, Kind),
    /// It costs there at least so many times as much.
    PeerAtLeast(Kind, f64),
}

impl Target {
    pub(super) fn of(self) -> Kind {
        match self {
            Self::AtMost(_, of) | Self::PeerAtLeast(of, _) => of,
        }
    }

    /// The ratio that the bound is about.
    fn ratio(self, own: &[f64], other: &[f64]) -> Option<Ratio> {
        match self {
            Self::AtMost(..) => Ratio::between(own, other),
            Self::PeerAtLeast(..) => Ratio::between(other, own),
        }
    }

    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most, _) => ratio <= most,
            Self::PeerAtLeast(_, least) => ratio >= least,
        }
    }

    fn verdict(self, ratio: &Ratio) -> Verdict {
        let met = self.is_met_by(ratio.value);
        let agrees = |&ratio: &f64| self.is_met_by(ratio) == met;
        match ratio.range {
            Some((low, high)) if [low, high].iter().all(agrees) && met => Verdict::Held,
            Some((low, high)) if [low, high].iter().all(agrees) => Verdict::Missed,
            Some(_) => Verdict::Noisy,
            None => Verdict::TooFewRounds,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most, of) => write!(f, "at most {most:.2} × {of}"),
            Self::PeerAtLeast(peer, least) => write!(f, "{peer} at least {least:.2} × it"),
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
}

impl Verdict {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Noisy | Self::TooFewRounds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Missed => "missed",
            Self::Noisy => "too noisy to say",
            Self::TooFewRounds => "too few rounds to say",
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

/// The targets of a row whose both sides were measured.
pub(super) fn judge(row: &Row) -> Vec<Judged> {
    let cost = |kind| row.cells.iter().find(|cell| cell.contender == kind);
    let mut judged = Vec::new();
    for cell in &row.cells {
        for target in targets(cell.contender, &row.plan) {
            let ratio = cost(target.of()).and_then(|of| target.ratio(&cell.cost_us, &of.cost_us));
            judged.extend(ratio.map(|ratio| Judged {
                contender: cell.contender,
                target,
                ratio,
                verdict: target.verdict(&ratio),
            }));
        }
    }
    judged
}

/// What `kind` may cost in `row`; other contenders than Meltemi may cost what they do.
fn targets(kind: Kind, row: &RowPlan) -> Vec<Target> {
    match row.request {
        _ if !kind.is_meltemi() => Vec::new(),
        _ if kind.weighs_policy() => policy(kind, row),
        request if request.is_large() => vec![Target::AtMost(1.1, Kind::Floor)],
        Request::Redis(command) => redis(command, row),
        Request::Thrift { .. } if kind != Kind::MeltemiPipeline && !row.is_serial() => {
            // With a connection for each client it writes as often as haproxy does.
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
        ] {
            let row = RowPlan {
                shape: shape.parse().unwrap(),
                request,
                endpoints: 1,
            };
            let targets = targets(kind, &row).into_iter().map(|target| match target {
                Target::AtMost(most, of) => format!("{most} {of}"),
                Target::PeerAtLeast(peer, least) => format!("{peer} {least}"),
            });
            let shown = targets.collect::<Vec<_>>().join(", ");
            assert_eq!(shown, expected, "{kind} {request} {shape}");
        }
    }

    #[test]
    fn a_verdict_takes_the_whole_run() {
        let most = Target::AtMost(1.25, Kind::Floor);
        let least = Target::PeerAtLeast(Kind::Envoy, 3.0);
        for (target, value, range, expected) in [
            (most, 1.2, Some((1.1, 1.25)), Verdict::Held),
            (most, 1.2, Some((1.1, 1.3)), Verdict::Noisy),
            (most, 1.3, Some((1.26, 1.4)), Verdict::Missed),
            (most, 1.3, Some((1.2, 1.4)), Verdict::Noisy),
            (most, 1.2, None, Verdict::TooFewRounds),
            (least, 3.5, Some((3.0, 4.0)), Verdict::Held),
            (least, 2.0, Some((1.0, 2.9)), Verdict::Missed),
        ] {
            assert_eq!(
                target.verdict(&Ratio { value, range }),
                expected,
                "{target} {value}"
            );
        }
    }
}
