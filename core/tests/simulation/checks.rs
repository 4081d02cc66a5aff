//! What holds whatever happens: bounds of what may be in use, and counts that agree.

use meltemi_core::config::Address;

use super::World;
use crate::totals::counted;

/// Bytes that the engine may hold in these schedules, whatever happens.
const BUFFERED: usize = 16 * 1024 * 1024;

impl World {
    /// Every request is counted once, by its route, its duration and its operation.
    pub(super) fn check_metrics(&self) {
        let page = self.telemetry.render();
        let counted = |family| counted(&page, family);
        let requests = counted("meltemi_requests_total{");
        let timed = counted("meltemi_request_duration_seconds_count{");
        assert_eq!(timed, requests, "requests by duration and by outcome");
        let by_operation = counted("meltemi_operation_requests_total{");
        let watched = if self.policy.watched { requests } else { 0 };
        assert_eq!(by_operation, watched, "requests by operation and by route");
        let (answered, sent) = (
            self.totals.answered,
            self.totals.asked + self.totals.one_way,
        );
        assert!(
            (answered..=sent).contains(&requests),
            "{requests} requests of {sent} were counted, of which {answered} were answered"
        );
        let limited: u64 = page
            .lines()
            .filter(|line| line.starts_with("meltemi_requests_total{") && line.contains("\"RL\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        let globally = counted("meltemi_global_rate_limit_over_limit_total{");
        let limited = limited - globally;
        assert_eq!(counted("meltemi_local_rate_limit_limited_total{"), limited);
        if self.policy.limit.is_some() {
            let admitted = counted("meltemi_local_rate_limit_ok_total{");
            assert!(
                admitted + limited <= requests,
                "{admitted} and {limited} of {requests}"
            );
            assert!(
                admitted >= self.seen.len() as u64,
                "what was sent had no token"
            );
        }
        assert_eq!(counted("meltemi_requests_in_flight{"), 0);
        assert_eq!(counted("meltemi_upstream_attempts_in_flight{"), 0);
    }

    /// What was sent was let through by the rate limit service, or in its place.
    pub(super) fn check_global_limit(&mut self) {
        let page = self.telemetry.render();
        let count = |name: &str| -> u64 {
            let line = format!("meltemi_global_rate_limit_{name}_total{{limit=");
            let line = page.lines().find(|it| it.starts_with(&line));
            line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        };
        let (error, allowed) = (count("error"), count("failure_mode_allowed"));
        self.totals.over_limit += count("over_limit");
        self.totals.undecided += error;
        if let Some((_, deny)) = self.policy.global {
            assert_eq!(allowed, if deny { 0 } else { error });
            let sent = self.seen.len() as u64;
            assert!(sent <= count("ok") + allowed, "{sent} were sent");
        }
    }

    /// No more requests were let through than the bucket has had tokens for.
    pub(super) fn check_limit(&self) {
        let Some(bucket) = self.policy.limit else {
            return;
        };
        let interval = bucket.fill_interval().as_nanos();
        let time = self.now.as_nanos() + 2;
        let come = time * u128::from(bucket.tokens_per_fill()) / interval;
        let most = u128::from(bucket.max_tokens()) + come;
        let asked = self.seen.len() as u128;
        assert!(asked <= most, "{asked} requests of {most} were let through");
    }

    /// A request is whole at a server: never more often than it may, and in order where that is
    /// promised.
    pub(super) fn delivered(&mut self, nonce: u64, address: &Address) {
        let times = self.seen.entry(nonce).or_default();
        *times += 1;
        assert!(
            *times <= self.policy.sendings(),
            "request {nonce} was delivered {times} times"
        );
        self.totals.delivered += 1;
        self.totals.repeated += u64::from(*times > 1);
        let only_hedged = self.policy.hedge.is_some() && self.policy.retries == 0;
        self.totals.hedged += u64::from(*times > 1 && only_hedged);
        self.check_limit();
        self.check_access(nonce);
        self.check_owner(nonce, address);
        if let Some(client) = self.clients.get_mut(&self.asker[&nonce]) {
            let arrival = (address.clone(), self.totals.delivered);
            client.arrived.insert(nonce, arrival);
        }
    }

    /// A configuration that was in force since it was asked lets it pass.
    fn check_access(&self, nonce: u64) {
        let since = self.asked_under[&nonce].saturating_sub(1);
        let asker = self.asker[&nonce];
        let mut access = self.access[since.min(self.access.len())..].iter();
        assert!(
            self.access.is_empty() || access.any(|it| it.permits(asker, nonce)),
            "request {nonce} of client {asker} was denied and sent"
        );
    }

    /// The same hash, the same endpoint, as long as those are the same and well. (Where order counts, a
    /// request may have to follow an earlier one.)
    fn check_owner(&mut self, nonce: u64, address: &Address) {
        if self.keeps_to_owners && nonce > self.asked_before {
            let owner = self.owners.entry(self.asker[&nonce]);
            let owner = owner.or_insert_with(|| address.clone());
            assert_eq!(owner, address, "another endpoint for the same hash");
            self.totals.owned += 1;
        }
    }

    pub(super) fn check(&self) {
        let status = self.engine.status();
        assert!(
            status.buffered < BUFFERED,
            "{} bytes are buffered",
            status.buffered
        );
        let open = self
            .clients
            .values()
            .filter(|client| !client.closed)
            .count();
        assert_eq!(status.clients, open, "clients leak");
        self.limits.check(&status);
    }
}
