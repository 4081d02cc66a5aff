//! What happened in schedules: a fault that never happens proves nothing.

/// What happened, over all schedules: a fault that never happens proves nothing.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) one_way: u64,
    pub(crate) refused_connections: u64,
    pub(crate) broken_connections: u64,
    pub(crate) clients_gone: u64,
    pub(crate) configurations: u64,
    pub(crate) drains: u64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    /// Requests that two servers were asked at a time.
    pub(crate) hedged: u64,
    /// Refused by each of the bounds.
    pub(crate) overflows: [u64; OVERFLOWS.len()],
    /// Verdicts of the rate limit service that came when nobody waited any more.
    pub(crate) late_verdicts: u64,
    pub(crate) over_limit: u64,
    pub(crate) undecided: u64,
    /// Requests that a policy kept from passing, and clients that had to leave for one.
    pub(crate) denied: u64,
    pub(crate) turned_out: u64,
    /// Requests whose endpoint their hash decided.
    pub(crate) owned: u64,
    /// Bytes of large messages that left from where they were read.
    pub(crate) relayed: u64,
}

/// The counters of what goes beyond a bound.
pub(crate) const OVERFLOWS: [&str; 6] = [
    "meltemi_upstream_cx_overflow_total{",
    "meltemi_upstream_rq_overflow_total{",
    "meltemi_upstream_rq_pending_overflow_total{",
    "meltemi_upstream_rq_retry_overflow_total{",
    "meltemi_route_rq_overflow_total{",
    "meltemi_downstream_cx_max_duration_reached_total{",
];

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.one_way += other.one_way;
        self.refused_connections += other.refused_connections;
        self.broken_connections += other.broken_connections;
        self.clients_gone += other.clients_gone;
        self.configurations += other.configurations;
        self.drains += other.drains;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.hedged += other.hedged;
        for (all, one) in self.overflows.iter_mut().zip(other.overflows) {
            *all += one;
        }
        self.late_verdicts += other.late_verdicts;
        self.over_limit += other.over_limit;
        self.undecided += other.undecided;
        self.denied += other.denied;
        self.turned_out += other.turned_out;
        self.owned += other.owned;
        self.relayed += other.relayed;
    }

    pub(crate) fn assert_everything_happened(&self) {
        for (what, times) in [
            ("answers", self.answered),
            ("one-way requests", self.one_way),
            ("refused connections", self.refused_connections),
            ("broken connections", self.broken_connections),
            ("clients that left", self.clients_gone),
            ("configuration changes", self.configurations),
            ("drains", self.drains),
            ("requests sent again", self.repeated),
            ("bytes relayed", self.relayed),
            ("hedged requests", self.hedged),
            ("late verdicts", self.late_verdicts),
            ("requests over a global limit", self.over_limit),
            ("requests without a verdict", self.undecided),
            ("denied requests", self.denied),
            ("clients that were turned out", self.turned_out),
        ] {
            assert!(times > 0, "these schedules had no {what}");
        }
        for (what, times) in OVERFLOWS.iter().zip(self.overflows) {
            assert!(times > 0, "these schedules had no {what}");
        }
        assert!(
            self.answered * 2 > self.asked,
            "most requests must be answered: {self:?}"
        );
    }
}

/// The sum of a counter's values on a page of metrics.
pub(crate) fn counted(page: &str, family: &str) -> u64 {
    let values = page.lines().filter_map(|line| {
        let (_, value) = line.strip_prefix(family)?.rsplit_once("} ")?;
        value.parse::<u64>().ok()
    });
    values.sum()
}
