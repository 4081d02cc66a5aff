//! `meltemi status`.

use std::fmt::{self, Display, Write as _};
use std::process::ExitCode;

use meltemi_controller::debug::{Held, Proxy, Replica, ResourceType};
use serde::Serialize;

use crate::{
    arguments::{Format, Status},
    controllers, output,
    proxy::block_on,
};

/// What is shown of each proxy; that it was told where it is, is no news.
const COLUMNS: [ResourceType; 6] = [
    ResourceType::Listeners,
    ResourceType::Services,
    ResourceType::Routes,
    ResourceType::Clusters,
    ResourceType::Endpoints,
    ResourceType::Secrets,
];

/// What the replicas said.
#[derive(Serialize)]
struct Answers {
    replicas: Vec<Replica>,
    /// Who did not answer, and why.
    silent: Vec<Silent>,
}

#[derive(Serialize)]
struct Silent {
    /// Its address, or the name of its pod.
    address: String,
    reason: String,
}

/// 0: every proxy has what it should have. 1: some lack something, or a controller does not answer.
pub(crate) fn main(status: &Status) -> anyhow::Result<ExitCode> {
    let asked = controllers::ask::<Replica>(&status.asked, "/debug/proxies");
    let mut answers = Answers {
        replicas: vec![],
        silent: vec![],
    };
    for (address, answer) in block_on(asked)? {
        match answer {
            Ok(replica) => answers.replicas.push(replica),
            Err(error) => answers.silent.push(Silent {
                address,
                reason: format!("{error:#}"),
            }),
        }
    }
    match status.output.output {
        Format::Text => output::answer(&answers)?,
        Format::Json => output::answer(serde_json::to_string_pretty(&answers)?)?,
    }
    Ok(ExitCode::from(u8::from(!answers.is_well())))
}

impl Answers {
    fn proxies(&self) -> impl Iterator<Item = (&Replica, &Proxy)> {
        let replicas = self.replicas.iter();
        replicas.flat_map(|replica| replica.proxies.iter().map(move |proxy| (replica, proxy)))
    }

    fn is_well(&self) -> bool {
        let lacks = |held: &Held| held.stale > 0 || held.refused > 0;
        self.silent.is_empty() && !self.proxies().any(|(_, it)| it.types.values().any(lacks))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let mut header = vec!["PROXY".to_owned()];
        header.extend(COLUMNS.iter().map(|column| heading(*column).to_owned()));
        header.extend(["CONNECTED", "REPLICA"].map(str::to_owned));
        let mut rows = vec![header];
        rows.extend(self.proxies().map(|(replica, proxy)| {
            let mut row = vec![proxy.node.clone()];
            row.extend(COLUMNS.iter().map(|column| cell(proxy.types.get(column))));
            row.push(age(proxy.connected_seconds));
            row.push(match replica.leads {
                Some(true) => format!("{} (leads)", replica.name),
                _ => replica.name.clone(),
            });
            row
        }));
        rows
    }
}

fn heading(column: ResourceType) -> &'static str {
    match column {
        ResourceType::Own => "SELF",
        ResourceType::Listeners => "LISTENERS",
        ResourceType::Services => "SERVICES",
        ResourceType::Routes => "ROUTES",
        ResourceType::Clusters => "CLUSTERS",
        ResourceType::Secrets => "SECRETS",
        ResourceType::Endpoints => "ENDPOINTS",
    }
}

/// How many it has, of those it should have where it lacks some, and what about the others.
fn cell(held: Option<&Held>) -> String {
    let Some(held) = held else {
        return "-".to_owned();
    };
    let all = held.current + held.stale + held.refused;
    let mut cell = match all == held.current {
        true => return all.to_string(),
        false => format!("{}/{all}", held.current),
    };
    for (count, what) in [(held.stale, "stale"), (held.refused, "refused")] {
        if count > 0 {
            let _ = write!(cell, " {count} {what}");
        }
    }
    cell
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

impl Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..COLUMNS.len() + 3).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        if rows.len() == 1 {
            writeln!(f, "no proxy is connected")?;
        }
        for (_, proxy) in self.proxies() {
            for rejected in &proxy.rejections {
                writeln!(
                    f,
                    "\n{} does not take {} {} in version {}: {}",
                    proxy.node,
                    heading(rejected.resource_type).to_lowercase(),
                    rejected.name,
                    rejected.version,
                    rejected.reason
                )?;
            }
        }
        for silent in &self.silent {
            writeln!(f, "\nthe controller {}: {}", silent.address, silent.reason)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meltemi_controller::debug::Rejected;

    use super::*;

    fn held(current: usize, stale: usize, refused: usize) -> Held {
        Held {
            current,
            stale,
            refused,
        }
    }

    #[test]
    fn who_lacks_something_is_seen_at_once() {
        let types = [
            (ResourceType::Listeners, held(1, 0, 0)),
            (ResourceType::Routes, held(0, 1, 1)),
        ];
        let rejected = Rejected {
            resource_type: ResourceType::Routes,
            name: "default/edge/redis".into(),
            version: "00ff".into(),
            reason: "routes[0]: no".into(),
        };
        let proxy = Proxy {
            node: "edge-1".into(),
            connected_seconds: 150,
            types: BTreeMap::from(types),
            rejections: vec![rejected],
        };
        let replica = Replica {
            name: "controller-0".into(),
            leads: Some(true),
            proxies: vec![proxy],
        };
        let mut answers = Answers {
            replicas: vec![replica],
            silent: vec![],
        };
        assert!(!answers.is_well());
        assert_eq!(
            answers.to_string(),
            "\
PROXY   LISTENERS  SERVICES  ROUTES                 CLUSTERS  ENDPOINTS  SECRETS  CONNECTED  REPLICA
edge-1  1          -         0/2 1 stale 1 refused  -         -          -        2m         controller-0 (leads)

edge-1 does not take routes default/edge/redis in version 00ff: routes[0]: no
"
        );
        answers.replicas[0].proxies[0]
            .types
            .remove(&ResourceType::Routes);
        assert!(answers.is_well());
    }
}
