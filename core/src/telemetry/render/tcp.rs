//! The metrics of bytes that are passed on, under the names that Istio has for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::tcp::TcpCells;
use super::super::{ResponseFlag, WorkerCells};
use super::{Escaped, Family, Page};

const FAMILIES: [Family<TcpCells>; 4] = [
    Family {
        name: "meltemi_tcp_connections_opened_total",
        help: "Client connections whose bytes were to be passed on as they come.",
        kind: "counter",
        cell: |cells| &cells.opened,
    },
    Family {
        name: "meltemi_tcp_connections",
        help: "Those of them that are open.",
        kind: "gauge",
        cell: |cells| &cells.open,
    },
    Family {
        name: "meltemi_tcp_received_bytes_total",
        help: "Bytes of their clients.",
        kind: "counter",
        cell: |cells| &cells.received,
    },
    Family {
        name: "meltemi_tcp_sent_bytes_total",
        help: "Bytes to their clients.",
        kind: "counter",
        cell: |cells| &cells.sent,
    },
];

/// What workers recorded, by service and destination.
type Cells = BTreeMap<(Arc<str>, Arc<str>), Vec<Arc<TcpCells>>>;

pub(super) fn tcp(page: &mut Page, workers: &[Arc<WorkerCells>]) {
    let mut cells = Cells::new();
    for worker in workers {
        for (name, of_worker) in worker.tcp.all() {
            cells.entry(name).or_default().push(of_worker);
        }
    }
    for family in &FAMILIES {
        page.head(family.name, family.help, family.kind);
        for ((service, destination), cells) in &cells {
            let labels = labels(service, destination);
            page.value(family.name, labels, sum(cells, family.cell));
        }
    }
    closed(page, &cells);
}

fn closed(page: &mut Page, cells: &Cells) {
    let name = "meltemi_tcp_connections_closed_total";
    page.head(name, "Those that are over, by why.", "counter");
    for ((service, destination), cells) in cells {
        for (i, flag) in ResponseFlag::ALL.iter().enumerate() {
            let closed = cells.iter().filter_map(|cells| cells.closed.get(i));
            let closed: u64 = closed.map(Cell::value).sum();
            if closed > 0 {
                let labels = labels(service, destination);
                page.value(name, format_args!("{labels},flag=\"{flag}\""), closed);
            }
        }
    }
}

fn sum(cells: &[Arc<TcpCells>], cell: fn(&TcpCells) -> &Cell) -> u64 {
    cells.iter().map(|cells| cell(cells).value()).sum()
}

fn labels(service: &str, destination: &str) -> String {
    let (service, destination) = (Escaped(service), Escaped(destination));
    format!("service=\"{service}\",destination=\"{destination}\"")
}
