//! The providers, the proxy, the consumers and what was counted of their calls.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    consumer::{self, Seen},
    manifests::Manifests,
    provider::{Provider, ROLES, Role},
    proxy::Proxy,
    screen::{Screen, View},
    story::Act,
    tally::Tally,
};

/// A slice of time: how often the screen shows something new.
const SLICE: Duration = Duration::from_millis(250);
const CONSUMERS: [&str; 2] = ["anna", "boris"];

/// Everything that the acts play with.
pub(super) struct Stage {
    pub(super) manifests: Manifests,
    providers: Vec<Provider>,
    proxy: Proxy,
    consumers: JoinSet<anyhow::Result<()>>,
    stop: watch::Sender<bool>,
    seen: mpsc::UnboundedReceiver<Seen>,
    tally: Tally,
    screen: Screen,
    began: Instant,
    acts: usize,
}

impl Stage {
    /// Starts the providers, then the proxy, then the consumers.
    pub(super) async fn set(directory: PathBuf, mut screen: Screen) -> anyhow::Result<Self> {
        let mut providers = Vec::new();
        for role in &ROLES {
            let provider = Provider::start(role).await;
            providers.push(provider.with_context(|| format!("cannot start {}", role.name))?);
        }
        let ports: Vec<_> = providers
            .iter()
            .map(|provider| (provider.role.example_port, provider.port))
            .collect();
        let manifests = Manifests::copy(directory.join("manifests"), &ports)
            .context("cannot write the manifests")?;
        let proxy = Proxy::start(manifests.directory(), &directory).await?;
        screen.begin(&proxy, manifests.directory(), &providers)?;
        let (stop, stopped) = watch::channel(false);
        let (tell, seen) = mpsc::unbounded_channel();
        let mut consumers = JoinSet::new();
        for name in CONSUMERS {
            consumers.spawn(consumer::run(
                name,
                proxy.address,
                tell.clone(),
                stopped.clone(),
            ));
        }
        Ok(Self {
            manifests,
            providers,
            proxy,
            consumers,
            stop,
            seen,
            tally: Tally::new(),
            screen,
            began: Instant::now(),
            acts: 0,
        })
    }

    pub(super) fn kill(&mut self, role: &Role) {
        for provider in &mut self.providers {
            if provider.role == role {
                provider.kill();
            }
        }
    }

    pub(super) async fn start_again(&mut self, role: &Role) -> anyhow::Result<()> {
        for provider in &mut self.providers {
            if provider.role == role {
                let started = provider.start_again().await;
                started.with_context(|| format!("cannot start {} again", role.name))?;
            }
        }
        Ok(())
    }

    /// Shows what happens for at least `hold`, until all that is claimed is seen. False if that
    /// takes longer than `patience`.
    pub(super) async fn play(
        &mut self,
        act: Act,
        hold: Duration,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        self.acts += 1;
        self.screen.act(self.acts, &act)?;
        self.tally.start_over();
        let began = Instant::now();
        let mut slices = interval(SLICE);
        slices.set_missed_tick_behavior(MissedTickBehavior::Delay);
        slices.reset();
        loop {
            tokio::select! {
                seen = self.seen.recv() => {
                    self.tally.add(&seen.context("the consumers have ended")?);
                    continue;
                }
                _ = slices.tick() => self.tally.turn(),
            }
            self.proxy.check()?;
            let Some(late) = self.tally.of_late() else {
                continue;
            };
            let verdicts: Vec<_> = act.claims.iter().map(|claim| claim.judge(&late)).collect();
            self.screen.show(&View {
                elapsed: self.began.elapsed(),
                providers: &self.providers,
                late: &late,
                total: &self.tally.total,
                verdicts: &verdicts,
            })?;
            let come_true = verdicts.iter().all(|verdict| verdict.holds);
            let over = began.elapsed() >= patience;
            if (come_true && began.elapsed() >= hold) || over {
                self.screen.act_over(&verdicts)?;
                return Ok(come_true);
            }
        }
    }

    /// Ends everything in order, and says what was seen. `told` is how the story went.
    pub(super) async fn clear(mut self, told: anyhow::Result<bool>) -> anyhow::Result<bool> {
        let come_true = told?;
        self.stop.send_replace(true);
        while let Some(ended) = self.consumers.join_next().await {
            ended?.context("a consumer could not go on")?;
        }
        while let Ok(seen) = self.seen.try_recv() {
            self.tally.add(&seen);
        }
        self.proxy.end().await?;
        let total = &self.tally.total;
        let as_claimed = come_true && total.wrong == 0 && total.unanswered == 0;
        self.screen.end(as_claimed, total, self.began.elapsed())?;
        Ok(as_claimed)
    }
}
